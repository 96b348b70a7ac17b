"""The environment, typed and loud: every setting an operator can make, read once at the start.

A wrong value stops the start and names the variable and what is allowed. `docs/settings.md` is made from
the descriptions here by `python -m config.environment`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self, get_args, get_origin

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.values import (
    Allowed,
    DatabaseAddress,
    Folder,
    Host,
    Hosts,
    InstallationName,
    MailProvider,
    MailSender,
    Networks,
    Number,
    ProviderOptions,
    ReturnBox,
    Secret,
    SecretKey,
    SentryAddress,
    SiteAddress,
    Texts,
    Waits,
    WebSecret,
    WritableFolder,
)

BASE_DIR = Path(__file__).resolve().parent.parent
NEVER_EMPTY = {"secret_key", "allowed_hosts"}
EMPTY = "An empty variable is as good as unset; only `SECRET_KEY` and `ALLOWED_HOSTS` must not be empty."


class EnvironmentFault(Exception):
    """A variable of the environment has a value that cannot be used."""


class Environment(BaseSettings):
    """Each field is one variable, its name in capitals."""

    model_config = SettingsConfigDict(extra="ignore", str_strip_whitespace=True, hide_input_in_errors=False)

    debug: bool = Field(False, description="Show error pages with details. Never in production.")
    secret_key: SecretKey = Field(
        None,
        description="Signs sessions and links, 32 characters or more. Unset: made once and kept in `VAR_DIR`.",
    )
    allowed_hosts: Hosts = Field(
        ["localhost", "127.0.0.1", "[::1]"],
        description="Host names that the web server answers to, by commas.",
    )
    public_url: SiteAddress = Field(
        "http://localhost:8000", description="Where people reach the site; links in messages begin with it."
    )
    port: int = Field(8000, ge=1, le=65535, description="Port of the web server, on loopback.")
    var_dir: WritableFolder = Field(
        BASE_DIR / "var", description="Folder for what the program keeps beside the database."
    )
    database_url: DatabaseAddress = Field(None, description="PostgreSQL 15 or later. Unset: the embedded PostgreSQL.")

    smtp_host: Host = Field("127.0.0.1", description="The mail server.")
    smtp_port: int = Field(25, ge=1, le=65535, description="Its port.")
    smtp_user: str = Field("", description="User name for the mail server; empty: none.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password for the mail server.")
    smtp_tls: Literal["none", "starttls", "implicit"] = Field("none", description="How the connection is secured.")
    smtp_timeout: Number = Field(20, gt=0, le=300, description="Seconds for one exchange with the mail server.")
    mail_connections: int = Field(
        10, ge=1, le=200, description="Connections to the mail server at a time, of one sending process."
    )
    mail_per_second: Number = Field(
        0, ge=0, le=10_000, description="Mails a second at most, of one sending process; 0: no limit."
    )
    mail_from: MailSender = Field("Watchkeeper <watchkeeper@localhost>", description="Sender of every mail.")

    bounce_address: ReturnBox = Field(
        "",
        description="Where mails that come back go, such as `bounces@watch.example`; each mail has an address of its "
        "own there, after a plus. Unset: they go to `MAIL_FROM`.",
    )

    anymail_provider: MailProvider = Field(
        "",
        description="Mails leave by this provider's API instead of SMTP; needs the package `django-anymail` and "
        "`ANYMAIL_OPTIONS`.",
    )
    anymail_options: ProviderOptions = Field(
        None, description="The provider's keys, named as in Anymail's documentation, and `WEBHOOK_SECRET`."
    )

    slack_webhook_url: WebSecret = Field(None, description="Incoming webhook for incidents.")
    slack_bot_token: Secret = Field(None, description="Bot token; needs `SLACK_CHANNEL`.")
    slack_channel: str = Field("", description="Channel for incidents when a bot token is used.")
    slack_connections: int = Field(4, ge=1, le=200, description="Posts to users' Slack channels at a time.")
    slack_per_second: Number = Field(
        0, ge=0, le=10_000, description="Posts a second to users' Slack channels at most; 0: no limit."
    )
    webhook_connections: int = Field(10, ge=1, le=200, description="Posts to users' webhooks at a time.")
    webhook_per_second: Number = Field(
        0, ge=0, le=10_000, description="Posts a second to users' webhooks at most; 0: no limit."
    )
    webhook_allowed_networks: Networks = Field(
        [],
        description="Networks beside the public Internet that users' webhooks may be in, by commas; `http://` is "
        "allowed there, too.",
    )
    sentry_dsn: SentryAddress = Field(None, description="Sends exceptions to Sentry when set.")
    environment: InstallationName = Field(
        "production", description="Name of this installation in Slack, Sentry and logs."
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto`: readable on a terminal, JSON elsewhere."
    )
    prometheus_multiproc_dir: Folder = Field(
        None,
        description="Folder for metrics of several processes; web and workers make their own in it.",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of the metrics of a worker or the watch, one for each; 0: none.",
    )
    metrics_host: Host = Field(
        "127.0.0.1",
        description="Address of this machine that `METRICS_PORT` is bound to. Whoever reaches it reads them without "
        "signing in: loopback or a private address. A name that only DNS knows lets the start wait for DNS.",
    )

    stale_after_hours: Number = Field(48, gt=0, le=24 * 365, description="Hours after due when a message is stale.")
    late_after_minutes: Number = Field(
        15, gt=0, le=60 * 24 * 365, description="A message sent later than this says so."
    )
    claim_size: int = Field(
        1000,
        ge=1,
        le=5000,
        description=(
            "Messages that one send cycle has in hand at most for each kind of channel. "
            "It takes what leaves in about half a second, and enough for every connection."
        ),
    )
    lease_seconds: Number = Field(120, ge=5, le=3600, description="How long a claim holds before others may take it.")
    send_deadline_seconds: Number = Field(30, ge=1, le=600, description="Time for one message on the wire.")
    retry_ladder_seconds: Waits = Field(
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
        le=1 << 24,
        description="Megabytes of address space that a worker may take beyond what it has at its start: "
        "more fails as an ordinary error instead of a kill. 0: no limit.",
    )
    expect_running: Texts = Field(
        ["watch", "worker realtime", "worker digest", "worker housekeeping"],
        description="Parts of this installation whose silence for a minute is an incident, by commas.",
    )
    keep_raw: bool = Field(False, description="Keep each position's raw sentence.")

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: dict[str, object]) -> dict[str, object]:
        """A variable without a value is as good as unset, except where that is surely a slip."""
        blank = {name for name, value in values.items() if isinstance(value, str) and not value.strip()}
        return {name: value for name, value in values.items() if name not in blank - NEVER_EMPTY}

    @field_validator("allowed_hosts")
    @classmethod
    def _some_host_is_allowed(cls, value: list[str], info: ValidationInfo) -> list[str]:
        if not value and not info.data.get("debug"):
            raise ValueError(
                "needs one host's name or more, else no request is answered; unset it for this machine only"
            )
        return value

    @field_validator("retry_ladder_seconds")
    @classmethod
    def _there_is_a_wait(cls, value: list[float]) -> list[float]:
        if not value:
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
    def _they_fit_together(self) -> Self:
        wrong = list(self._what_does_not_fit())
        if wrong:
            raise PydanticCustomError("do_not_fit", "{wrong}", {"wrong": "\n  ".join(wrong)})
        return self

    def _what_does_not_fit(self) -> Iterator[str]:
        if self.lease_seconds < 2 * self.send_deadline_seconds:
            yield (
                f"LEASE_SECONDS ({self.lease_seconds:g}) must be at least twice SEND_DEADLINE_SECONDS "
                f"({self.send_deadline_seconds:g}), else no message could be sent before others take it"
            )
        if bool(self.slack_bot_token) != bool(self.slack_channel):
            yield "SLACK_BOT_TOKEN and SLACK_CHANNEL go together: set both, or neither"
        if bool(self.anymail_provider) != bool(self.anymail_options):
            yield "ANYMAIL_PROVIDER and ANYMAIL_OPTIONS go together: set both, or neither"
        if bool(self.smtp_user) != bool(self.smtp_password.get_secret_value()):
            yield "SMTP_USER and SMTP_PASSWORD go together: set both, or neither"

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
        given = error["input"]
        shown = "(not shown)" if secret else repr(str(given) if isinstance(given, Path) else given)
        lines.append(f"  {name} = {shown}: {error['msg'].removeprefix('Value error, ')}")
    lines.append("docs/settings.md lists every setting and what is allowed.")
    return "\n".join(lines)


def settings_page() -> str:
    """`docs/settings.md`, made from the fields above."""
    rows = ["# Settings", "", "Every setting is an environment variable. A wrong value stops the start.", EMPTY, ""]
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
    said = [about.words for about in field.metadata if isinstance(about, Allowed)]
    if said:
        return said[0]
    if field.annotation not in (int, float):
        return "text, by commas" if get_origin(field.annotation) is list else "text"
    bounds = {type(bound).__name__: astuple(bound)[0] for bound in field.metadata}
    words = {"Ge": "from {}", "Gt": "above {}", "Le": "to {}"}
    shown = " ".join(words[name].format(bounds[name]) for name in words if name in bounds)
    return f"{'whole number' if field.annotation is int else 'number'} {shown}".strip()


def _shown_default(name: str, default: object) -> str:
    if name == "var_dir":
        return "`var` in the project's folder"
    if default in (None, "", []) or isinstance(default, SecretStr):
        return "unset"
    if isinstance(default, list):
        return f"`{','.join(str(part) for part in default)}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    (BASE_DIR / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
