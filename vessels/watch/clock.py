"""A feed's alive time: event time without the stretches in which the feed heard nobody.

    watermark  the latest time at which the feed heard any vessel
    gap        a stretch between two successive hearings longer than `silent_after`, or our own downtime
    alive time event time minus the gaps: within a gap it stands still

All times are int64 microseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEVER = 2**62


class Gap(NamedTuple):
    """A stretch that does not count."""

    start: int
    end: int
    downtime: bool = False


@dataclass(slots=True)
class FeedClock:
    """The alive clock of one feed. `hear` moves it; everything else reads it."""

    silent_after: int
    watermark: int | None = None
    alive: int = 0  # alive time up to the watermark
    gaps: list[Gap] = field(default_factory=list)
    interrupted: bool = False  # we were down: the stretch up to the next hearing does not count

    def hear(self, times: NDArray[np.int64]) -> list[Gap]:
        """Move on by hearings in order of arrival; returns the gaps that came to light."""
        if len(times) == 0:
            return []
        start = int(times[0]) if self.watermark is None else self.watermark
        marks = np.maximum.accumulate(np.concatenate(([start], times)))
        steps = np.diff(marks)
        uncounted = steps > self.silent_after
        moving = np.flatnonzero(steps)
        downtime = self.interrupted and len(moving) > 0
        if downtime:
            uncounted[moving[0]] = True
            self.interrupted = False
        found = [Gap(int(marks[i]), int(marks[i + 1])) for i in np.flatnonzero(uncounted)]
        if downtime:
            found[0] = found[0]._replace(downtime=True)
        self.gaps += found
        self.alive += int(steps[~uncounted].sum())
        self.watermark = int(marks[-1])
        return found

    def moment(self, start: int, duration: int) -> int:
        """When `duration` of alive time has passed since `start`, as far as gaps are known."""
        now, left = start, duration
        first = bisect_right(self.gaps, start, key=lambda gap: gap.end)
        for gap in self.gaps[first:]:
            if now + left <= gap.start:
                break
            left -= max(0, gap.start - now)
            now = gap.end
        return now + left

    def alive_at(self, time: int) -> int:
        """Alive time at a moment up to the watermark."""
        if self.watermark is None:
            return 0
        since = max(0, self.watermark - time)
        first = bisect_right(self.gaps, time, key=lambda gap: gap.end)
        uncounted = sum(gap.end - max(gap.start, time) for gap in self.gaps[first:])
        return self.alive - max(0, since - uncounted)


def whole_clock(times: NDArray[np.int64], *, silent_after: int) -> FeedClock:
    """The clock of a bounded source, which knows all of its hearings from the start."""
    clock = FeedClock(silent_after)
    clock.hear(np.sort(times))
    return clock


def restored_clock(
    *, silent_after: int, watermark: int | None, alive: int, gaps: Iterable[Gap], interrupted: bool
) -> FeedClock:
    """A clock as it was stored; `interrupted` if we have been down since."""
    return FeedClock(silent_after, watermark, alive, sorted(gaps), interrupted and watermark is not None)
