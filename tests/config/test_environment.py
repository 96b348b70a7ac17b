"""Settings are loud: a wrong value names its variable and what is allowed, and stops the start."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from config.environment import BASE_DIR, Environment, EnvironmentFault, read_environment, settings_page

WRONG = {
    "DEBUG": ("maybe", "boolean"),
    "SECRET_KEY": ("short", "32 characters or more"),
    "PUBLIC_URL": ("watch.example", "must begin with http:// or https://"),
    "PORT": ("70000", "less than or equal to 65535"),
    "DATABASE_URL": ("mysql://someone:hunter2hunter2@db/x", "must begin with postgresql://"),
    "SMTP_PORT": ("twenty-five", "valid integer"),
    "SMTP_TLS": ("ssl", "'none', 'starttls' or 'implicit'"),
    "SMTP_TIMEOUT": ("0", "greater than 0"),
    "LOG_LEVEL": ("LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    "LOG_FORMAT": ("xml", "'auto', 'console' or 'json'"),
    "METRICS_PORT": ("-1", "greater than or equal to 0"),
    "STALE_AFTER_HOURS": ("0", "greater than 0"),
    "LATE_AFTER_MINUTES": ("-5", "greater than 0"),
    "CLAIM_SIZE": ("0", "greater than or equal to 1"),
    "LEASE_SECONDS": ("1", "greater than or equal to 5"),
    "SEND_DEADLINE_SECONDS": ("601", "less than or equal to 600"),
    "RETRY_LADDER_SECONDS": ("30,-1", "above 0"),
    "WORKER_PROCESSES": ("17", "less than or equal to 16"),
    "EXPECT_RUNNING": ("watch,worker", "the parts are watch"),
    "KEEP_RAW": ("2", "boolean"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_told_with_its_variable_and_what_is_allowed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, allowed = WRONG[name]
    monkeypatch.setenv(name, value)

    with pytest.raises(EnvironmentFault) as told:
        read_environment()

    assert f"{name} = " in str(told.value)
    assert allowed in str(told.value)


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("SMTP_TLS", "x")

    with pytest.raises(EnvironmentFault, match=r"(?s)PORT.*SMTP_TLS"):
        read_environment()


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL"])
def test_a_wrong_secret_is_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = WRONG[name][0]
    monkeypatch.setenv(name, value)

    with pytest.raises(EnvironmentFault) as told:
        read_environment()

    assert value not in str(told.value)
    assert "hunter2" not in str(told.value)
    assert f"{name} = (not shown)" in str(told.value)


def test_secrets_are_not_in_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "hunter2hunter2")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.example/hunter2hunter2")

    assert "hunter2" not in repr(read_environment())


def test_a_lease_that_no_send_outlasts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "40")
    monkeypatch.setenv("SEND_DEADLINE_SECONDS", "30")

    with pytest.raises(EnvironmentFault, match=r"LEASE_SECONDS .* must be at least twice SEND_DEADLINE_SECONDS"):
        read_environment()


def test_an_empty_variable_means_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")

    assert read_environment().port == Environment.model_fields["port"].default


def test_a_wrong_value_stops_the_start_before_anything_runs() -> None:
    run = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=BASE_DIR, env=os.environ | {"SMTP_TLS": "sometimes"}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert run.returncode != 0
    assert "SMTP_TLS = 'sometimes'" in run.stderr
    assert "'none', 'starttls' or 'implicit'" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_page_of_settings_is_current() -> None:
    """Make it again with `python -m config.environment`."""
    assert (BASE_DIR / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page()
