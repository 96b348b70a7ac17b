"""The signed return address of each mail: `bounces+<message>.<signature>@host`.

A bounce is believed only by this address. Anybody can write a bounce about anything; the address is known to us and to
those who carried the mail or got it.
"""

from __future__ import annotations

import base64
import re

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

_SALT = "watchkeeper.return_address"
_SIGNATURE_BYTES = 10  # 80 bits; 16 characters, so that all stays under the 64 of a local part
# in any case: some servers change the case of what stands before the @
_TAG = re.compile(r"(?P<message>[0-9]{1,18})\.(?P<signature>[a-z2-7]{16})")


def return_address(message_id: int, *, box: str | None = None) -> str:
    """Where the mail of this message comes back to; "" where `BOUNCE_ADDRESS` is unset."""
    name, _, host = _box(box).partition("@")
    if not host:
        return ""
    return f"{name}+{message_id}.{_signature(message_id, settings.SECRET_KEY)}@{host}"


def message_of(address: str, *, box: str | None = None) -> int | None:
    """The message whose return address this is; None for any other address, and for a forged one."""
    name, _, host = _box(box).partition("@")
    local, _, there = address.strip().strip("<>").lower().rpartition("@")
    tag = _TAG.fullmatch(local.removeprefix(f"{name}+")) if host and there == host else None
    if tag is None or not local.startswith(f"{name}+"):
        return None
    message_id = int(tag["message"])
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    known = [constant_time_compare(tag["signature"], _signature(message_id, key)) for key in keys]
    return message_id if any(known) else None


def _box(box: str | None) -> str:
    return (settings.BOUNCE_ADDRESS if box is None else box).lower()


def _signature(message_id: int, key: str | bytes) -> str:
    whole = salted_hmac(_SALT, str(message_id), secret=key, algorithm="sha256").digest()
    return base64.b32encode(whole[:_SIGNATURE_BYTES]).decode().lower()
