"""What says that a shutdown has begun, and ends waits at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

LOOK_SECONDS = 0.05  # how soon a wait notices what has no event of its own


class Stop(Protocol):
    """What says that a shutdown has begun: a `threading.Event`, a shutdown manager's, or a `PolledStop`."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class PolledStop:
    """A flag that can only be looked at, such as memory that processes share."""

    def __init__(
        self,
        is_set: Callable[[], bool],
        *,
        every: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.is_set = is_set
        self._every, self._clock, self._sleep = every, clock, sleep

    def wait(self, timeout: float | None = None) -> bool:
        """Until it is set, or the time is over; returns whether it is set."""
        until = None if timeout is None else self._clock() + timeout
        while not self.is_set():
            left = self._every if until is None else min(self._every, until - self._clock())
            if left <= 0:
                return False
            self._sleep(left)
        return True
