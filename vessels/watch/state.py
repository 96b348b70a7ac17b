"""What the watch remembers of each vessel, in columns by *slot* (a vessel's number within this watch)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vessels.reports import REPORT, ReportArray
from vessels.watch.clock import NEVER

Integers = NDArray[np.int64]
UNHEARD = -NEVER


@dataclass(frozen=True, slots=True)
class Report:
    """One report that outlives its batch: with its station's name and its raw sentence."""

    row: np.void
    station: str = ""
    raw: str | None = None


@dataclass(slots=True)
class Silence:
    """What was raised as missing. `raised` belongs to the gap that runs since the vessel was last heard;
    `unresumed` names, for each area, the gaps that accepted positions have not ended yet."""

    raised: set[tuple[int, int]] = field(default_factory=set)  # (area, duration)
    unresumed: dict[int, list[int]] = field(default_factory=dict)  # area → starts of gaps

    def __bool__(self) -> bool:
        return bool(self.raised or self.unresumed)

    def went_missing(self, area: int, gap: int) -> None:
        gaps = self.unresumed.setdefault(area, [])
        if gap not in gaps:
            gaps.append(gap)

    def end_before(self, time: int) -> dict[int, int]:
        """Ends the gaps that began before a position; for each area the last of them."""
        ended = {}
        for area, gaps in list(self.unresumed.items()):
            over = [gap for gap in gaps if gap < time]
            if over:
                ended[area] = max(over)
                self.unresumed[area] = [gap for gap in gaps if gap >= time]
                if not self.unresumed[area]:
                    del self.unresumed[area]
        return ended


class Vessels:
    """A table that grows. Arrays may be longer than there are vessels."""

    def __init__(self) -> None:
        self.slots: dict[int, int] = {}
        self.mmsi: list[int] = []
        self.last: ReportArray = np.zeros(0, dtype=REPORT)  # last accepted position; MMSI 0: none yet
        self.ties: Integers = np.zeros(0, dtype=np.int64)  # accepted before it at the very same time
        self.heard: Integers = np.zeros(0, dtype=np.int64)
        self.heard_feed: Integers = np.zeros(0, dtype=np.int64)
        self.suspects: dict[int, Report] = {}
        self.inside: dict[int, dict[int, int]] = {}  # slot → area → since
        self.silences: dict[int, Silence] = {}

    def __len__(self) -> int:
        return len(self.mmsi)

    def slots_of(self, mmsi: Integers) -> Integers:
        """A slot for each MMSI; those never met get a new one."""
        found, inverse = np.unique(mmsi, return_inverse=True)
        slots = [self.slots.get(number, -1) for number in found.tolist()]
        for place, slot in enumerate(slots):
            if slot < 0:
                slots[place] = self._add(int(found[place]))
        self._grow()
        return np.array(slots, dtype=np.int64)[inverse]

    def positioned(self, slots: Integers) -> NDArray[np.bool_]:
        """Whether each of the vessels has an accepted position."""
        known: NDArray[np.bool_] = self.last["mmsi"][slots] != 0
        return known

    def all_positioned(self) -> Integers:
        return np.flatnonzero(self.last["mmsi"][: len(self)] != 0)

    def _add(self, mmsi: int) -> int:
        slot = len(self.mmsi)
        self.slots[mmsi] = slot
        self.mmsi.append(mmsi)
        return slot

    def _grow(self) -> None:
        missing = len(self.mmsi) - len(self.last)
        if missing <= 0:
            return
        room = max(missing, len(self.last), 1024)
        self.last = np.concatenate([self.last, np.zeros(room, dtype=REPORT)])
        self.ties = np.concatenate([self.ties, np.zeros(room, dtype=np.int64)])
        self.heard = np.concatenate([self.heard, np.full(room, UNHEARD)])
        self.heard_feed = np.concatenate([self.heard_feed, np.zeros(room, dtype=np.int64)])
