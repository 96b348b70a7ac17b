"""Settings are loud: a wrong value names its variable and what is allowed, and stops the start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.environment import BASE_DIR, Environment, EnvironmentFault, read_environment, settings_page

WRONG = [
    ("DEBUG", "maybe", "boolean"),
    ("SECRET_KEY", "short", "32 characters or more"),
    ("SECRET_KEY", "", "32 characters or more"),
    ("SECRET_KEY", " " * 40, "32 characters or more"),
    ("SECRET_KEY", "ab" * 20, "5 different characters"),
    ("ALLOWED_HOSTS", "", "one host's name or more"),
    ("ALLOWED_HOSTS", ",", "one comma between two items"),
    ("ALLOWED_HOSTS", "https://watch.example", "no scheme"),
    ("ALLOWED_HOSTS", "watch.example:8000", "no port"),
    ("PUBLIC_URL", "watch.example", "must begin with http:// or https://"),
    ("PUBLIC_URL", "http://", "scheme and host alone"),
    ("PUBLIC_URL", "http://a b", "scheme and host alone"),
    ("PUBLIC_URL", "https://watch.example/alerts", "scheme and host alone"),
    ("PUBLIC_URL", "https://watch.example:port", "scheme and host alone"),
    ("PORT", "70000", "less than or equal to 65535"),
    ("VAR_DIR", "/proc/nowhere", "a folder that can be made and written to"),
    ("VAR_DIR", __file__, "must be a folder"),
    ("PROMETHEUS_MULTIPROC_DIR", __file__, "must be a folder"),
    ("DATABASE_URL", "mysql://someone:hunter2hunter2@db/x", "must begin with postgresql://"),
    ("DATABASE_URL", "postgresql://db/x?colour=red", 'invalid URI query parameter: "colour"'),
    ("DATABASE_URL", "postgresql://u:hunter2%zz@db/x", "%xx for special characters"),
    ("DATABASE_URL", "postgresql://db", "names no database"),
    ("DATABASE_URL", "postgresql://u:hunter2/x@db/x", "from 1 to 65535"),
    ("DATABASE_URL", "postgresql://db:65536/x", "from 1 to 65535"),
    ("DATABASE_URL", "postgresql://db/x?sslmode=yes", "disable, allow, prefer, require"),
    ("SMTP_HOST", "smtp://mail.example", "no scheme"),
    ("SMTP_HOST", "mail.example:25", "no port"),
    ("SMTP_PORT", "twenty-five", "valid integer"),
    ("SMTP_TLS", "ssl", "'none', 'starttls' or 'implicit'"),
    ("SMTP_TIMEOUT", "0", "greater than 0"),
    ("SMTP_TIMEOUT", "nan", "finite number"),
    ("MAIL_FROM", "Watchkeeper", "must be one address"),
    ("MAIL_FROM", "Watchkeeper <watchkeeper@>", "must be one address"),
    ("MAIL_FROM", "a@one.example, b@two.example", "must be one address"),
    ("MAIL_FROM", "Kahu, Ltd <a@one.example>", "stands in quotes"),
    ("MAIL_FROM", "Watchkeeper <a@one.example", "must be one address"),
    ("BOUNCE_ADDRESS", "Bounces <b@watch.example>", "one address"),
    ("BOUNCE_ADDRESS", "b+x@watch.example", "no +"),
    ("ANYMAIL_PROVIDER", "pigeon", "such as postmark"),
    ("ANYMAIL_PROVIDER", "../x", "such as postmark"),
    ("ANYMAIL_OPTIONS", "{}", "must be JSON such as"),
    ("ANYMAIL_OPTIONS", "hunter2", "must be JSON such as"),
    ("SLACK_WEBHOOK_URL", "hooks.slack.example/hunter2", "begins with https:// or http://"),
    ("SLACK_WEBHOOK_URL", "https://", "begins with https:// or http://"),
    ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.1/8", "is no network"),
    ("WEBHOOK_ALLOWED_NETWORKS", "intranet", "is no network"),
    ("SENTRY_DSN", "nonsense", "must be the DSN that Sentry shows"),
    ("SENTRY_DSN", "https://hunter2.example/", "must be the DSN that Sentry shows"),
    ("ENVIRONMENT", "eu/1", "without /"),
    ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ("LOG_FORMAT", "xml", "'auto', 'console' or 'json'"),
    ("METRICS_PORT", "-1", "greater than or equal to 0"),
    ("METRICS_HOST", "0.0.0.0:9100", "host's name or IP address alone"),
    ("METRICS_HOST", "http://10.20.0.5", "no scheme"),
    ("METRICS_HOST", "10.20.0.256", "host's name or IP address alone"),
    ("METRICS_HOST", "*", "host's name or IP address alone"),
    ("STALE_AFTER_HOURS", "0", "greater than 0"),
    ("STALE_AFTER_HOURS", "nan", "finite number"),
    ("LATE_AFTER_MINUTES", "-5", "greater than 0"),
    ("LATE_AFTER_MINUTES", "inf", "finite number"),
    ("LATE_AFTER_MINUTES", "1e300", "less than or equal to"),
    ("CLAIM_SIZE", "0", "greater than or equal to 1"),
    ("LEASE_SECONDS", "1", "greater than or equal to 5"),
    ("LEASE_SECONDS", "nan", "finite number"),
    ("SEND_DEADLINE_SECONDS", "601", "less than or equal to 600"),
    ("SEND_DEADLINE_SECONDS", "-inf", "finite number"),
    ("RETRY_LADDER_SECONDS", "30,-1", "greater than 0"),
    ("RETRY_LADDER_SECONDS", "30,nan", "finite number"),
    ("RETRY_LADDER_SECONDS", "inf", "finite number"),
    ("RETRY_LADDER_SECONDS", "1e12", "less than or equal to"),
    ("RETRY_LADDER_SECONDS", "30,,60", "one comma between two items"),
    ("RETRY_LADDER_SECONDS", "30,60,", "none at the end"),
    ("WORKER_PROCESSES", "17", "less than or equal to 16"),
    ("WORKER_MEMORY_MB", "99999999999999999999", "less than or equal to"),
    ("EXPECT_RUNNING", "watch,worker", "the parts are watch"),
    ("KEEP_RAW", "2", "boolean"),
]

RIGHT = [
    ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
    ("ALLOWED_HOSTS", "watch.example, .watch.example, 192.0.2.1, [::1]"),
    ("ALLOWED_HOSTS", "*"),
    ("PUBLIC_URL", "https://watch.example:8443"),
    ("PUBLIC_URL", "http://[::1]:8000"),
    ("DATABASE_URL", "postgresql://watchkeeper@/watchkeeper?host=/run/postgresql"),
    ("DATABASE_URL", "postgresql://wk@/wk?host=%2Ftmp%2Fpg&port=5432"),
    ("DATABASE_URL", "postgres://wk:p%40ss@one,two:6432/wk?sslmode=verify-full&target_session_attrs=read-write"),
    ("DATABASE_URL", "postgresql:///wk"),
    ("SMTP_HOST", "2001:db8::25"),
    ("SMTP_HOST", "mail_server"),
    ("METRICS_HOST", "0.0.0.0"),
    ("METRICS_HOST", "fd00:20::5"),
    ("METRICS_HOST", "realtime-1"),
    ("MAIL_FROM", '"Kahu, Ltd" <alerts@kahu.example>'),
    ("MAIL_FROM", "Wächter <alerts@kahu.example>"),
    ("SLACK_WEBHOOK_URL", "http://127.0.0.1:4000/hook"),
    ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8, fd00:20::/32"),
    ("SENTRY_DSN", "https://key@sentry.example/1"),
    ("RETRY_LADDER_SECONDS", "0.5, 30"),
    ("ENVIRONMENT", "game day"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_a_wrong_value_is_told_with_its_variable_and_what_is_allowed(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(EnvironmentFault) as told:
        read_environment()

    assert f"{name} = " in str(told.value)
    assert allowed in str(told.value)
    assert "hunter2" not in str(told.value)  # what may be a secret is not shown


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_a_right_value_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    read_environment()


PAIRS = [
    ({"ANYMAIL_PROVIDER": "postmark"}, "ANYMAIL_PROVIDER and ANYMAIL_OPTIONS go together"),
    ({"SLACK_BOT_TOKEN": "xoxb-hunter2"}, "SLACK_BOT_TOKEN and SLACK_CHANNEL go together"),
    ({"SLACK_CHANNEL": "#operations"}, "SLACK_BOT_TOKEN and SLACK_CHANNEL go together"),
    ({"SMTP_USER": "watchkeeper"}, "SMTP_USER and SMTP_PASSWORD go together"),
    ({"SMTP_PASSWORD": "hunter2"}, "SMTP_USER and SMTP_PASSWORD go together"),
    ({"LEASE_SECONDS": "40"}, "LEASE_SECONDS (40) must be at least twice SEND_DEADLINE_SECONDS (30)"),
]


@pytest.mark.parametrize(("values", "told_so"), PAIRS)
def test_values_that_do_not_fit_together_are_refused(
    values: dict[str, str], told_so: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(EnvironmentFault) as told:
        read_environment()

    assert told_so in str(told.value)
    assert "hunter2" not in str(told.value)


def test_debugging_needs_no_allowed_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "true")
    monkeypatch.setenv("ALLOWED_HOSTS", "")

    assert read_environment().allowed_hosts == []


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("SMTP_TLS", "x")

    with pytest.raises(EnvironmentFault, match=r"(?s)PORT.*SMTP_TLS"):
        read_environment()


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "SLACK_WEBHOOK_URL", "SENTRY_DSN", "ANYMAIL_OPTIONS"])
def test_a_wrong_secret_is_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter2")

    with pytest.raises(EnvironmentFault) as told:
        read_environment()

    assert f"{name} = (not shown)" in str(told.value)
    assert "hunter2" not in str(told.value)


def test_secrets_are_not_in_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_USER", "watchkeeper")
    monkeypatch.setenv("SMTP_PASSWORD", "hunter2hunter2")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.example/hunter2hunter2")

    assert "hunter2" not in repr(read_environment())


def test_an_empty_variable_means_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")

    assert read_environment().port == Environment.model_fields["port"].default


def check(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=BASE_DIR, env=os.environ | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_wrong_value_stops_the_start_before_anything_runs() -> None:
    run = check(SMTP_TLS="sometimes")

    assert run.returncode != 0
    assert "SMTP_TLS = 'sometimes'" in run.stderr
    assert "'none', 'starttls' or 'implicit'" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_emptied_file_of_the_key_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch()

    run = check(VAR_DIR=str(tmp_path))

    assert run.returncode != 0
    assert f"{tmp_path}/secret_key holds no key" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_page_of_settings_is_current() -> None:
    """Make it again with `python -m config.environment`."""
    assert (BASE_DIR / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page()
