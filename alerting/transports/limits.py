"""What a provider allows: connections at a time and messages a second, for one sending process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from accounts.models import ChannelKind


@dataclass(frozen=True, slots=True)
class Limits:
    """`per_second`: 0 for no limit."""

    connections: int
    per_second: float = 0.0


def limits_for(kind: str) -> Limits:
    """Those of the environment; one connection for a kind that has none."""
    known: dict[str, Limits] = {
        ChannelKind.EMAIL: Limits(settings.MAIL_CONNECTIONS, settings.MAIL_PER_SECOND),
        ChannelKind.SLACK: Limits(settings.SLACK_CONNECTIONS, settings.SLACK_PER_SECOND),
        ChannelKind.WEBHOOK: Limits(settings.WEBHOOK_CONNECTIONS, settings.WEBHOOK_PER_SECOND),
    }
    return known.get(kind, Limits(1))


class Pacer:
    """Spreads sends evenly: each caller gets the next free moment. Safe to use from several threads."""

    def __init__(self, per_second: float, *, monotonic: Callable[[], float]) -> None:
        self._gap = 1.0 / per_second if per_second > 0 else 0.0
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next = monotonic()

    def seconds_to_wait(self) -> float:
        """Takes the next moment; how long it is until then."""
        if not self._gap:
            return 0.0
        with self._lock:
            now = self._monotonic()
            moment = max(self._next, now)
            self._next = moment + self._gap
            return moment - now


class Pacers:
    """One for each kind of channel, for as long as a process lives. Used by one thread."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[str, Pacer] = {}

    def of(self, kind: str, per_second: float) -> Pacer:
        if kind not in self._kept:
            self._kept[kind] = Pacer(per_second, monotonic=self._monotonic)
        return self._kept[kind]
