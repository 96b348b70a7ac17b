"""The environment, typed and loud: every setting an operator can make, read once at the start.

A wrong value stops the start and names the variable and what is allowed. `docs/settings.md` is made from
the descriptions here by `python -m config.environment`.
"""

from __future__ import annotations

from dataclasses import astuple
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self, get_args, get_origin

from pydantic import (
    Field,
    PostgresDsn,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent


class EnvironmentFault(Exception):
    """A variable of the environment has a value that cannot be used."""


class Environment(BaseSettings):
    """Each field is one variable, its name in capitals."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, hide_input_in_errors=False)

    debug: bool = Field(False, description="Show error pages with details. Never in production.")
    secret_key: SecretStr | None = Field(
        None,
        description="Signs sessions and links, 32 characters or more. Unset: made once and kept in `VAR_DIR`.",
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        ["localhost", "127.0.0.1", "[::1]"],
        description="Host names that the web server answers to, by commas.",
    )
    public_url: str = Field(
        "http://localhost:8000", description="Where people reach the site; links in messages begin with it."
    )
    port: int = Field(8000, ge=1, le=65535, description="Port of the web server of `make run`.")
    var_dir: Path = Field(BASE_DIR / "var", description="Folder for what the program keeps beside the database.")
    database_url: str | None = Field(
        None, description="`postgresql://…`, PostgreSQL 15 or later. Unset: the embedded PostgreSQL."
    )

    smtp_host: str = Field("127.0.0.1", description="The mail server.")
    smtp_port: int = Field(25, ge=1, le=65535, description="Its port.")
    smtp_user: str = Field("", description="User name for the mail server; empty: none.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password for the mail server.")
    smtp_tls: Literal["none", "starttls", "implicit"] = Field("none", description="How the connection is secured.")
    smtp_timeout: float = Field(20, gt=0, le=300, description="Seconds for one exchange with the mail server.")
    mail_from: str = Field("Watchkeeper <watchkeeper@localhost>", description="Sender of every mail.")

    slack_webhook_url: SecretStr | None = Field(None, description="Incoming webhook for incidents.")
    slack_bot_token: SecretStr | None = Field(None, description="Bot token; needs `SLACK_CHANNEL`.")
    slack_channel: str = Field("", description="Channel for incidents when a bot token is used.")
    sentry_dsn: SecretStr | None = Field(None, description="Sends exceptions to Sentry when set.")
    environment: str = Field("production", description="Name of this installation in Slack, Sentry and logs.")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto`: readable on a terminal, JSON elsewhere."
    )
    prometheus_multiproc_dir: Path | None = Field(
        None, description="Folder for metrics of several processes; one for each deployment."
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of the metrics of a worker or the watch on loopback, one for each; 0: none.",
    )

    stale_after_hours: float = Field(48, gt=0, le=24 * 365, description="Hours after due when a message is stale.")
    late_after_minutes: float = Field(15, gt=0, description="A message sent later than this says so.")
    claim_size: int = Field(100, ge=1, le=5000, description="Messages that one send cycle claims at a time.")
    lease_seconds: float = Field(120, ge=5, le=3600, description="How long a claim holds before others may take it.")
    send_deadline_seconds: float = Field(30, ge=1, le=600, description="Time for one message on the wire.")
    retry_ladder_seconds: Annotated[list[float], NoDecode] = Field(
        [30, 120, 600, 3600, 14400], description="Waits between attempts, by commas; after the last: failed."
    )
    worker_processes: int = Field(1, ge=1, le=16, description="django-q2 worker processes of one deployment.")
    worker_instance: str = Field(
        "",
        max_length=60,
        description="Name of a deployment of workers among those of its kind; unset: the host's name.",
    )
    worker_memory_mb: int = Field(
        0,
        ge=0,
        description="Megabytes of address space that a worker may take beyond what it has at its start: "
        "more fails as an ordinary error instead of a kill. 0: no limit.",
    )
    expect_running: Annotated[list[str], NoDecode] = Field(
        ["watch", "worker realtime", "worker digest", "worker housekeeping"],
        description="Parts of this installation whose silence for a minute is an incident, by commas.",
    )
    keep_raw: bool = Field(False, description="Keep each position's raw sentence.")

    @field_validator("allowed_hosts", "expect_running", "retry_ladder_seconds", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("retry_ladder_seconds")
    @classmethod
    def _waits_are_positive(cls, value: list[float]) -> list[float]:
        if not value or any(wait <= 0 for wait in value):
            raise ValueError("give one or more seconds above 0, such as 30,120,600")
        return value

    @field_validator("expect_running")
    @classmethod
    def _parts_are_known(cls, value: list[str]) -> list[str]:
        known = cls.model_fields["expect_running"].default
        unknown = [part for part in value if part not in known]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no part; the parts are {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _lease_outlasts_a_send(self) -> Self:
        if self.lease_seconds < 2 * self.send_deadline_seconds:
            raise PydanticCustomError(
                "lease_too_short",
                "LEASE_SECONDS ({lease}) must be at least twice SEND_DEADLINE_SECONDS ({deadline}), "
                "else no message could be sent before others take it",
                {"lease": self.lease_seconds, "deadline": self.send_deadline_seconds},
            )
        return self

    @field_validator("secret_key")
    @classmethod
    def _key_is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("needs 32 characters or more")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        if value is not None:
            if not value.startswith(("postgresql://", "postgres://")):
                raise ValueError("must begin with postgresql://")
            if (
                "@/" not in value and "///" not in value
            ):  # a socket folder is given as ?host=, which PostgresDsn refuses
                TypeAdapter(PostgresDsn).validate_python(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @property
    def stale_after(self) -> timedelta:
        return timedelta(hours=self.stale_after_hours)

    @property
    def late_after(self) -> timedelta:
        return timedelta(minutes=self.late_after_minutes)


def read_environment() -> Environment:
    """The environment of this process.

    Raises `EnvironmentFault` that names each wrong variable, its value and what is allowed.
    """
    try:
        return Environment()
    except ValidationError as fault:
        raise EnvironmentFault(_explain(fault)) from None


def _explain(fault: ValidationError) -> str:
    lines = ["Wrong settings in the environment:"]
    for error in fault.errors():
        if not error["loc"]:  # of several variables together: the message names them
            lines.append(f"  {error['msg']}")
            continue
        name = str(error["loc"][0]).upper()
        annotation = str(Environment.model_fields[name.lower()].annotation).lower()
        secret = "secret" in annotation or name == "DATABASE_URL"  # its address may hold a password
        shown = "(not shown)" if secret else repr(error["input"])
        lines.append(f"  {name} = {shown}: {error['msg'].removeprefix('Value error, ')}")
    lines.append("docs/settings.md lists every setting and what is allowed.")
    return "\n".join(lines)


def settings_page() -> str:
    """`docs/settings.md`, made from the fields above."""
    rows = ["# Settings", "", "Every setting is an environment variable. A wrong value stops the start.", ""]
    rows += ["| variable | default | allowed | what it is |", "|---|---|---|---|"]
    for name, field in Environment.model_fields.items():
        default, allowed = _shown_default(name, field.default), _allowed(field)
        rows.append(f"| `{name.upper()}` | {default} | {allowed} | {field.description} |")
    return "\n".join(rows) + "\n"


def _allowed(field: FieldInfo) -> str:
    """The choices or the range of a setting; "text" where anything goes."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    if field.annotation is bool:
        return "`true`, `false`"
    if field.annotation not in (int, float):
        return "text, by commas" if get_origin(field.annotation) is list else "text"
    bounds = {type(bound).__name__: astuple(bound)[0] for bound in field.metadata}
    words = {"Ge": "from {}", "Gt": "above {}", "Le": "to {}"}
    shown = " ".join(words[name].format(bounds[name]) for name in words if name in bounds)
    return f"{'whole number' if field.annotation is int else 'number'} {shown}".strip()


def _shown_default(name: str, default: object) -> str:
    if name == "var_dir":
        return "`var` in the project's folder"
    if isinstance(default, list):
        return f"`{','.join(str(part) for part in default)}`"
    if default is None or default == "" or isinstance(default, SecretStr):
        return "unset"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    (BASE_DIR / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
