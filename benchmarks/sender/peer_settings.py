"""Django's settings for the peers: nothing but what they need, on the same PostgreSQL and mail server as ours."""

from __future__ import annotations

import os
from typing import Any

from psycopg.conninfo import conninfo_to_dict

_parts: dict[str, Any] = dict(conninfo_to_dict(os.environ["DATABASE_URL"]))
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _parts["dbname"],
        "USER": _parts.get("user", ""),
        "PASSWORD": _parts.get("password", ""),
        "HOST": _parts.get("host", ""),
        "PORT": _parts.get("port", ""),
        "CONN_MAX_AGE": 60,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "of no use"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "post_office", "mailer"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
EMAIL_HOST, EMAIL_PORT = "127.0.0.1", int(os.environ.get("SMTP_PORT", "25"))

POST_OFFICE = {
    "BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"},
    "THREADS_PER_PROCESS": int(os.environ.get("POST_OFFICE_THREADS", "5")),
    "BATCH_SIZE": int(os.environ.get("POST_OFFICE_BATCH", "100")),
    "LOG_LEVEL": int(os.environ.get("POST_OFFICE_LOG_LEVEL", "2")),
}
MAILER_USE_FILE_LOCK = False  # runs here never meet
MAILER_EMAIL_LOG_MESSAGE_DATA = False  # a copy of each mail in its log costs it 10 %
LOGGING = {"version": 1, "root": {"level": "WARNING", "handlers": []}}
