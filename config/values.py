"""The kinds of values that a setting can have: each is checked here, and says what it allows.

A check takes the text of a variable and returns the value to use. It raises `ValueError` with what is allowed, and
never repeats the text: it may hold a password.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import getaddresses
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode
from sentry_sdk.utils import BadDsn, Dsn

# RFC 1123, and the underscore that containers' names have.
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?")
# RFC 5322's dot-atom at a host; quoted local parts are not worth their trouble.
_MAIL_BOX = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?P<host>.+)")
# libpq looks at this one only when it connects, which would be told again and again by everything that runs.
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
Value = TypeVar("Value")
_DATABASE = "must be such as postgresql://user:password@host:5432/name"


@dataclass(frozen=True)
class Allowed:
    """What the page of settings says is allowed."""

    words: str


def text_list(value: object) -> object:
    """Items between commas. Two commas in a row are a slip that shall not pass as fewer items."""
    if not isinstance(value, str):
        return value
    items = [item.strip() for item in value.split(",")]
    if items == [""]:
        return []
    if "" in items:
        raise ValueError("has an empty item: one comma between two items, none at the end")
    return items


def is_host(text: str) -> bool:
    """A host's name or IP address, without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # what ends in a number is an address or nothing: 10.0.0.256 is no name (RFC 1123, section 2.1)
        return _HOST_NAME.fullmatch(text) is not None and not text.rstrip(".").rpartition(".")[2].isdecimal()
    return True


def host(value: str) -> str:
    if not is_host(value):
        raise ValueError("must be a host's name or IP address alone, such as mail.example: no scheme, no port")
    return value


def allowed_hosts(value: list[str]) -> list[str]:
    for item in value:
        name = item[1:-1] if item.startswith("[") and item.endswith("]") else item.removeprefix(".")
        if item != "*" and not is_host(name):
            raise ValueError(f"{item!r} is no host's name: give names such as watch.example, no scheme, no port")
    return value


def networks(value: list[str]) -> list[str]:
    for item in value:
        try:
            ipaddress.ip_network(item)
        except ValueError:
            raise ValueError(f"{item!r} is no network: give such as 10.20.0.0/16 or fd00:20::/32") from None
    return value


def return_box(value: str) -> str:
    """`box@host`; what is put behind a plus in it needs room (RFC 5321, section 4.5.3.1.1: 64 octets)."""
    box = _MAIL_BOX.fullmatch(value)
    if value and (box is None or not is_host(box["host"]) or "+" in value or value.index("@") > 24):
        raise ValueError("must be such as bounces@watch.example: one address, up to 24 characters before @, no +")
    return value.lower()


def site_address(value: str) -> str:
    """Scheme and host only: links are made by putting a path behind it."""
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    value = value.rstrip("/")
    if not _is_web_address(value) or value.count("/") != 2 or any(mark in value for mark in "?#@"):
        raise ValueError("must be scheme and host alone, such as https://watch.example or http://localhost:8000")
    return value


def web_address(value: str) -> str:
    if not _is_web_address(value):
        raise ValueError("must be an address that begins with https:// or http://")
    return value


def _is_web_address(text: str) -> bool:
    if any(character.isspace() or not character.isprintable() for character in text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # of brackets or the port
        return False


def mail_sender(value: str) -> str:
    """`Name <box@host>` or `box@host`, and only one."""
    found = getaddresses([value])
    box = _MAIL_BOX.fullmatch(found[0][1]) if len(found) == 1 and ("<" in value) == value.endswith(">") else None
    if box is None or not is_host(box["host"]) or not value.isprintable():
        raise ValueError(
            "must be one address, such as alerts@watch.example or Watchkeeper <alerts@watch.example>; "
            'a name with a comma stands in quotes: "Kahu, Ltd" <alerts@kahu.example>'
        )
    return value


def mail_provider(value: str) -> str:
    """A provider that the installed django-anymail knows; "" for none."""
    if not value:
        return value
    try:
        known = value.isidentifier() and find_spec(f"anymail.backends.{value}") is not None
    except ModuleNotFoundError:
        raise ValueError("needs the package django-anymail: pip install django-anymail") from None
    if not known:
        raise ValueError("must be a provider as django-anymail names it, such as postmark or amazon_ses")
    return value


def provider_options(value: str) -> str:
    """A JSON object of texts. Without the webhook's secret anybody could tell us of bounces."""
    try:
        options = json.loads(value)
    except ValueError:
        options = None
    if not isinstance(options, dict) or ":" not in str(options.get("WEBHOOK_SECRET", "")):
        raise ValueError('must be JSON such as {"POSTMARK_SERVER_TOKEN": "…", "WEBHOOK_SECRET": "user:password"}')
    return value


def sentry_address(value: str) -> str:
    try:
        Dsn(value)
    except (BadDsn, ValueError):
        raise ValueError("must be the DSN that Sentry shows, such as https://key@host/1") from None
    return value


def secret_key(value: str) -> str:
    if len(value.strip()) < 32:
        raise ValueError("needs 32 characters or more; unset it to have one made and kept")
    if len(set(value)) < 5:  # as Django's own check for deployments
        raise ValueError("needs 5 different characters or more")
    return value


def installation_name(value: str) -> str:
    """What Sentry takes as the name of an environment, too."""
    if len(value) > 64 or not value.isprintable() or "/" in value or value.lower() == "none":
        raise ValueError("must be a name of up to 64 characters on one line, without /, and not None")
    return value


def database_address(value: str) -> str:
    """As libpq reads it. Its own words are repeated only where they cannot hold a part of a password."""
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    try:
        parts = conninfo_to_dict(value)
    except psycopg.Error as error:
        told = str(error).strip()
        named = f" ({told})" if told.startswith("invalid URI query parameter") else ""
        raise ValueError(f"{_DATABASE}, with %xx for special characters, and libpq's parameters{named}") from None
    if not parts.get("dbname"):
        raise ValueError(f"names no database: it {_DATABASE}")
    if not all(_is_port(port) for port in str(parts.get("port") or 5432).split(",")):
        raise ValueError("its port must be a number from 1 to 65535")
    if parts.get("sslmode", "prefer") not in _SSL_MODES:
        raise ValueError(f"its sslmode must be one of {', '.join(_SSL_MODES)}")
    return value


def _is_port(text: str) -> bool:
    return not text or (text.isdecimal() and 1 <= int(text) <= 65535)  # of several hosts one may be left out


def folder(value: Path) -> Path:
    """Made where it is missing; it must be one that we can write to."""
    try:
        value.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError("must be a folder; this is something else") from None
    except OSError as error:
        raise ValueError(f"must be a folder that can be made and written to: {error.strerror}") from None
    if not os.access(value, os.W_OK | os.X_OK):
        raise ValueError("must be a folder that this user can write to")
    return value


def given(check: Callable[[Value], Value]) -> Callable[[Value | None], Value | None]:
    """The same check for a setting that may be unset."""
    return lambda value: None if value is None else check(value)


def hidden(check: Callable[[str], str]) -> Callable[[SecretStr], SecretStr]:
    """The same check for a value that is never shown."""
    return lambda value: SecretStr(check(value.get_secret_value()))


Number = Annotated[float, Field(allow_inf_nan=False)]
Wait = Annotated[float, Field(gt=0, le=30 * 86_400, allow_inf_nan=False)]
Waits = Annotated[list[Wait], NoDecode, BeforeValidator(text_list), Allowed("seconds above 0 to 30 days, by commas")]
Texts = Annotated[list[str], NoDecode, BeforeValidator(text_list)]
Host = Annotated[str, AfterValidator(host), Allowed("a host's name or IP address")]
Hosts = Annotated[Texts, AfterValidator(allowed_hosts), Allowed("hosts' names, by commas; `*`: any")]
Networks = Annotated[Texts, AfterValidator(networks), Allowed("networks such as `10.20.0.0/16`, by commas")]
ReturnBox = Annotated[str, AfterValidator(return_box), Allowed("`box@host`")]
SiteAddress = Annotated[str, AfterValidator(site_address), Allowed("`http://…` or `https://…`, without a path")]
MailSender = Annotated[str, AfterValidator(mail_sender), Allowed("`box@host` or `Name <box@host>`")]
InstallationName = Annotated[str, AfterValidator(installation_name), Allowed("up to 64 characters, without `/`")]
WritableFolder = Annotated[Path, AfterValidator(folder), Allowed("a folder that can be written to")]
Folder = Annotated[Path | None, AfterValidator(given(folder)), Allowed("a folder that can be written to")]
Secret = SecretStr | None
SecretKey = Annotated[Secret, AfterValidator(given(hidden(secret_key))), Allowed("32 characters or more")]
WebSecret = Annotated[Secret, AfterValidator(given(hidden(web_address))), Allowed("`http://…` or `https://…`")]
MailProvider = Annotated[str, AfterValidator(mail_provider), Allowed("a provider of django-anymail: `postmark`, …")]
ProviderOptions = Annotated[Secret, AfterValidator(given(hidden(provider_options))), Allowed("a JSON object")]
SentryAddress = Annotated[Secret, AfterValidator(given(hidden(sentry_address))), Allowed("a DSN of Sentry")]
DatabaseAddress = Annotated[str | None, AfterValidator(given(database_address)), Allowed("`postgresql://…`")]
