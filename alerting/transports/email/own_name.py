"""The name by which we greet a mail server (RFC 5321, section 4.1.1.1).

smtplib asks DNS for it at each connection, for as long as the system's resolver likes. Here one look-up at a time goes
on by itself, and whoever connects waits for it only while no name is known.
"""

from __future__ import annotations

import math
import smtplib
import threading
import time
from contextlib import suppress

from alerting.transports.contract import Clock

KEEP_SECONDS = 60.0
# A resolver asks its second server after five.
LONGEST_SECONDS = 8.0
# RFC 5321, section 4.1.4: a host without a name says its address, in brackets.
NO_NAME = "[127.0.0.1]"


class OwnName:
    """Safe to ask from any thread. Asked anew after a minute: what DNS says may change, or be wrong for a moment."""

    def __init__(self, *, monotonic: Clock = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._name = ""
        self._until = -math.inf
        self._under_way = False

    def __call__(self, *, seconds: float) -> str:
        """Within so many seconds."""
        with self._changed:
            if self._monotonic() >= self._until and not self._under_way:
                self._under_way = self._begun()
            self._changed.wait_for(lambda: self._name or not self._under_way, max(0.0, min(seconds, LONGEST_SECONDS)))
            return self._name or NO_NAME

    def _begun(self) -> bool:
        try:
            threading.Thread(target=self._look_up, name="own-name", daemon=True).start()
        except (RuntimeError, MemoryError):
            return False
        return True

    def _look_up(self) -> None:
        found = ""
        with suppress(Exception):
            found = asked()
        with self._changed:
            # a name that was known is better than an address: DNS may be away
            if found and (_is_name(found) or not _is_name(self._name)):
                self._name = found
            self._until = self._monotonic() + KEEP_SECONDS
            self._under_way = False
            self._changed.notify_all()


def asked() -> str:
    """An address in brackets where DNS knows no full name, or is away."""
    return smtplib.SMTP().local_hostname


def _is_name(said: str) -> bool:
    return bool(said) and not said.startswith("[")


own_name = OwnName()
