"""Django's settings: wiring only. What an operator can change stands in `config/environment.py`."""

from __future__ import annotations

import json
import secrets
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONCE, NONE, SELF
from psycopg.conninfo import conninfo_to_dict

from config import embedded_postgres
from config.environment import BASE_DIR, EnvironmentFault, read_environment
from resilience.metrics_folder import metrics_folder_use

try:
    ENV = read_environment()
except EnvironmentFault as fault:
    raise SystemExit(str(fault)) from None

VAR_DIR = ENV.var_dir
DEBUG = ENV.debug
ALLOWED_HOSTS = ENV.allowed_hosts
PUBLIC_URL = ENV.public_url
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]


def _secret_key(kept: Path) -> str:
    """The key of the environment, or one made at the first start and kept, readable by its owner only."""
    if ENV.secret_key is not None:
        return ENV.secret_key.get_secret_value()
    if not kept.exists():
        temporary = kept.with_suffix(f".{secrets.token_hex(4)}")
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_urlsafe(48), encoding="utf-8")
        try:
            kept.hardlink_to(temporary)  # fails if another process was first: its key stands
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    key = kept.read_text(encoding="utf-8").strip()
    if len(key) < 32:
        raise SystemExit(f"{kept} holds no key (32 characters or more): remove it to have one made, or set SECRET_KEY.")
    return key


try:
    SECRET_KEY = _secret_key(VAR_DIR / "secret_key")
except (OSError, UnicodeError) as fault:
    raise SystemExit(f"VAR_DIR = '{VAR_DIR}': the key in it cannot be read or made: {fault}") from None

INSTALLED_APPS = [
    "config.apps.WatchkeeperAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_prometheus",
    "django_htmx",
    "django_q",
    "axes",
    "csp",
    "resilience",
    "accounts",
    "vessels",
    "alerting",
]

MIDDLEWARE = [
    "resilience.request_id.RequestIdMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.LocalTimeMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "accounts.pages.standing.standing",
            ],
        },
    },
]


def _database(url: str) -> dict[str, Any]:
    parts = {key: value for key, value in conninfo_to_dict(url).items() if value is not None}
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "watchkeeper"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
    # keepalives find a dead peer on an idle connection; tcp_user_timeout (ms) one that takes no more of a statement
    waits = {"connect_timeout": 5, "keepalives_idle": 30, "keepalives_interval": 10, "tcp_user_timeout": 10_000}
    return database | {"OPTIONS": waits | parts}


try:
    DATABASE_URL = ENV.database_url or embedded_postgres.ensure_running(VAR_DIR)
except embedded_postgres.EmbeddedPostgresFault as fault:
    raise SystemExit(str(fault)) from None
DATABASES = {"default": _database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
# An address is unique among present users only, by a partial index that this check does not see.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "accounts/locked_out.html"
AXES_USERNAME_FORM_FIELD = "username"  # else axes looks for "email", finds nobody, and locks nobody out
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["config.formats"]

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    *[
        (name, BASE_DIR / "node_modules" / folder)
        for name, folder in (
            ("leaflet", "leaflet/dist"),
            ("topojson-client", "topojson-client/dist"),
            ("world-atlas", "world-atlas"),
        )
        if (BASE_DIR / "node_modules" / folder).is_dir()
    ],
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
MEDIA_ROOT = VAR_DIR / "media"

# Nothing on a page comes from elsewhere, and no inline script or style runs without this response's nonce.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "frame-src": [SELF],
        "form-action": [SELF],
        "base-uri": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

SMTP_HOST, SMTP_PORT = ENV.smtp_host, ENV.smtp_port
SMTP_USER, SMTP_PASSWORD = ENV.smtp_user, ENV.smtp_password.get_secret_value()
SMTP_TLS, SMTP_TIMEOUT = ENV.smtp_tls, ENV.smtp_timeout
MAIL_CONNECTIONS, MAIL_PER_SECOND = ENV.mail_connections, ENV.mail_per_second
SLACK_CONNECTIONS, SLACK_PER_SECOND = ENV.slack_connections, ENV.slack_per_second
WEBHOOK_CONNECTIONS, WEBHOOK_PER_SECOND = ENV.webhook_connections, ENV.webhook_per_second
WEBHOOK_ALLOWED_NETWORKS = ENV.webhook_allowed_networks
MAIL_FROM = DEFAULT_FROM_EMAIL = SERVER_EMAIL = ENV.mail_from
BOUNCE_ADDRESS = ENV.bounce_address
# Django's own mails (invitations, password reset) leave through the same server.
EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = SMTP_HOST, SMTP_PORT, SMTP_TIMEOUT
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = SMTP_USER, SMTP_PASSWORD
EMAIL_USE_TLS, EMAIL_USE_SSL = SMTP_TLS == "starttls", SMTP_TLS == "implicit"
ANYMAIL_PROVIDER = ENV.anymail_provider
ANYMAIL: dict[str, Any] = json.loads(ENV.anymail_options.get_secret_value()) if ENV.anymail_options else {}
if ANYMAIL_PROVIDER:
    INSTALLED_APPS.append("anymail")  # its signals and its webhooks
    EMAIL_BACKEND = f"anymail.backends.{ANYMAIL_PROVIDER}.EmailBackend"

SLACK_WEBHOOK_URL = ENV.slack_webhook_url.get_secret_value() if ENV.slack_webhook_url else ""
SLACK_BOT_TOKEN = ENV.slack_bot_token.get_secret_value() if ENV.slack_bot_token else ""
SLACK_CHANNEL = ENV.slack_channel
SENTRY_DSN = ENV.sentry_dsn.get_secret_value() if ENV.sentry_dsn else ""
ENVIRONMENT_NAME = ENV.environment
LOG_LEVEL, LOG_FORMAT = ENV.log_level, ENV.log_format
LOGGING_CONFIG = None
PROMETHEUS_MULTIPROC_DIR = metrics_folder_use(ENV.prometheus_multiproc_dir)  # before prometheus_client is imported
PROMETHEUS_EXPORT_MIGRATIONS = False
METRICS_HOST, METRICS_PORT = ENV.metrics_host, ENV.metrics_port

EXPECTED_HEARTBEATS = dict.fromkeys(ENV.expect_running, timedelta(minutes=1))
STALE_AFTER, LATE_AFTER = ENV.stale_after, ENV.late_after
CLAIM_SIZE, LEASE_SECONDS = ENV.claim_size, ENV.lease_seconds
SEND_DEADLINE_SECONDS = ENV.send_deadline_seconds
RETRY_LADDER_SECONDS = ENV.retry_ladder_seconds
KEEP_RAW = ENV.keep_raw
WORKER_INSTANCE = ENV.worker_instance or socket.gethostname()[:60]
WORKER_MEMORY_MB = ENV.worker_memory_mb

# django-q2 runs the cycles that ticks ask for; the values and why: docs/architecture.md.
# `worker CADENCE` sets the cluster's name before it starts.
# A cycle begins no message that could take longer than what is left of its time: while one hangs, that long nothing is
# sent. So its time is several deadlines. Whether it still runs is seen by its pulse, and its progress by its heartbeat.
CYCLE_SECONDS = max(60, round(6 * SEND_DEADLINE_SECONDS))


def _time_out(seconds: int) -> dict[str, Any]:
    # retry: more than timeout × (1 + ceil((queue_limit + 1) / workers)), else what waits runs twice
    return {"timeout": seconds, "retry": 3 * seconds + 20}


# django-q2 takes these of housekeeping as they are: it looks into ALT_CLUSTERS for other names than its own.
Q_CLUSTER: dict[str, Any] = {
    "name": "housekeeping",
    "orm": "default",
    "workers": ENV.worker_processes,
    "queue_limit": 1,
    "bulk": 1,
    "poll": 0.2,
    **_time_out(60),
    "max_attempts": 1,
    "ack_failures": True,
    "recycle": 100_000,  # each worker leaves its metrics' files, which every look at the metrics reads
    "save_limit": -1,
    "catch_up": False,
    "guard_cycle": 0.5,
    "scheduler": False,  # housekeeping looks at schedules; the sentinel must not wait for a database
    "label": "Background tasks",
    "ALT_CLUSTERS": {"realtime": _time_out(CYCLE_SECONDS), "digest": _time_out(CYCLE_SECONDS), "housekeeping": {}},
}
