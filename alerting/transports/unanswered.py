"""Addresses that let us wait in vain: one that hangs must not hold every connection of its kind, message after message.

After two waits in a row an address is left alone for a while. Then one message at a time asks again, and the others
are put off at once until it is answered, which costs them no attempt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from alerting.models import ErrorKind
from alerting.transports.contract import TransportError

WAITS = 2  # in a row; one may be bad luck
LEFT_ALONE_SECONDS = 30.0
_ASKED_SECONDS = 5.0  # about how long the one that asks again may take
_MOST_KEPT = 10_000


@dataclass(slots=True)
class _Silence:
    waits: int = 0
    until: float = 0.0
    asking: bool = False  # one message tries whether it answers again


class Unanswered:
    """By address, for one process. Safe to use from several threads."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._silent: dict[str, _Silence] = {}

    def begin(self, address: str, *, who: str) -> None:
        """Before a message to this address. Raises `TransportError` while it is left alone; else call `end`."""
        with self._lock:
            silence = self._silent.get(address)
            if silence is None or silence.waits < WAITS:
                return
            left = silence.until - self._monotonic()
            if left <= 0 and not silence.asking:
                silence.asking = True
                return
        raise TransportError(
            f"{who} let us wait in vain a moment ago: it is asked again later.",
            kind=ErrorKind.TRANSIENT,
            retry_after=max(left, _ASKED_SECONDS),
            untried=True,
        )

    def end(self, address: str, *, in_vain: bool) -> None:
        """What came of it. Another fault than a wait is an answer too."""
        with self._lock:
            if not in_vain:
                self._silent.pop(address, None)
                return
            silence = self._silent.setdefault(address, _Silence())
            silence.waits, silence.asking = silence.waits + 1, False
            silence.until = self._monotonic() + LEFT_ALONE_SECONDS
            if len(self._silent) > _MOST_KEPT:
                self._forget()

    def _forget(self) -> None:
        now = self._monotonic()
        self._silent = {address: each for address, each in self._silent.items() if each.until > now or each.asking}


# Of this process: each connection has a transport of its own.
HERE = Unanswered()
