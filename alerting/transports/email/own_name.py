"""The name by which we greet a mail server (RFC 5321, section 4.1.1.1).

smtplib asks DNS for it at each connection, for as long as the system's resolver likes.
"""

from __future__ import annotations

import math
import smtplib
import time

from alerting.transports.contract import Clock
from alerting.transports.look_up import found_within

KEEP_SECONDS = 60.0
# RFC 5321, section 4.1.3: what a host says that knows no name of its own.
_NO_NAME = "[127.0.0.1]"
_LONGEST_SECONDS = 5.0


class OwnName:
    """Asked for by any thread. Kept for a minute: what DNS says may change, or be wrong for a moment."""

    def __init__(self, *, monotonic: Clock = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept = _NO_NAME, -math.inf  # until when

    def __call__(self, *, seconds: float) -> str:
        """Within so many seconds. Where no name is found in time: the one before, or an address instead of one."""
        before, until = self._kept
        now = self._monotonic()
        if now < until:
            return before
        try:
            found = found_within(_asked, name="this host", seconds=min(seconds, _LONGEST_SECONDS))
        except (OSError, RuntimeError):  # no answer; or no room for a thread
            found = before
        name = before if found.startswith("[") and before != _NO_NAME else found
        self._kept = name, now + KEEP_SECONDS
        return name


def _asked() -> str:
    """An address in brackets where DNS knows no full name, or is away."""
    return smtplib.SMTP().local_hostname


own_name = OwnName()
