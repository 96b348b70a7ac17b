"""Signs of life inside a deployment: values in shared memory that change as long as their process goes on.

Without locks, so that no killed or stopped process can hold one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.sharedctypes import RawValue

BEAT_SECONDS = 0.5
# Whoever looks later than that was held up itself, and so perhaps all that it looks at: a machine that was paused.
LOOK_AT_MOST_SECONDS = 1.0


class Pulse:
    """Of one process: made by its parent, beaten by a thread of its own, in idleness and in the middle of its work.

    It stands still when the process is stopped, or when code that never lets go of the interpreter runs in it.
    """

    def __init__(self) -> None:
        self._beats = RawValue("L", 0)

    def begin(self) -> None:
        """The first thing in the process."""
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def beats(self) -> int:
        return int(self._beats.value)

    def _beat(self) -> None:
        while True:
            with suppress(MemoryError):  # a lack of memory is no standstill
                self._beats.value += 1
            time.sleep(BEAT_SECONDS)


class Stillness:
    """How long a value has not changed, for somebody who looks at it again and again."""

    def __init__(self, value: Callable[[], float], *, now: float) -> None:
        """`now`: monotonic seconds."""
        self._read = value
        self._value = value()
        self._looked_at = now
        self._seconds = 0.0

    def seconds(self, now: float) -> float:
        """So far, `now` being monotonic seconds. A look that comes late counts as one in time."""
        value, since_last = self._read(), now - self._looked_at
        moved = value != self._value
        self._seconds = 0.0 if moved else self._seconds + min(since_last, LOOK_AT_MOST_SECONDS)
        self._value, self._looked_at = value, now
        return self._seconds
