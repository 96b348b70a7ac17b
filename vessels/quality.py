"""Which reports become positions: not a repeat, not a jump.

- *Repeats*: the same transmission heard by several stations. NMEA: the same MMSI with the same payload bits
  within 60 s of the first hearing. Rows of a file: the same MMSI and time.
- *Jumps*: against the vessel's last accepted position, a step of more than 0.5 nmi that implies more than
  60 kn. Such a report is held as the vessel's one *suspect* until its next report decides (`judge`).

Everything is pure; times are int64 microseconds. What must be remembered between batches is explicit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vessels.geometry.distance import nautical_miles
from vessels.reports import ReportArray

SECOND = 1_000_000
REPEAT_WITHIN = 60 * SECOND
# A station may deliver ten minutes late; its repeats must still be known as such.
REMEMBER_PAYLOADS = REPEAT_WITHIN + 600 * SECOND

JUMP_NMI = 0.5
JUMP_KNOTS = 60.0
MICROSECONDS_PER_HOUR = 3_600 * SECOND
# A degree of latitude is never more than 60.31 nmi; a step surely shorter than the limit needs no geodesic.
LONGEST_DEGREE_NMI = 60.4

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(slots=True)
class Repeats:
    """First hearings, remembered for eleven minutes of event time, and the newest row of each file's vessel."""

    first: dict[tuple[int, int], int] = field(default_factory=dict)
    row_time: dict[int, int] = field(default_factory=dict)
    newest: int = 0
    fresh: list[tuple[int, int, int]] = field(default_factory=list)  # first hearings of the last batch
    _swept: int = 0

    def find(self, rows: ReportArray) -> Flags:
        """True for each row that repeats an earlier one. Rows come in order of arrival."""
        self.fresh = []
        found = np.zeros(len(rows), dtype=bool)
        columns = (rows[name].tolist() for name in ("mmsi", "payload", "message_type", "time"))
        for i, (mmsi, payload, kind, time) in enumerate(zip(*columns, strict=True)):
            found[i] = self._row_repeats(mmsi, time) if kind == 0 else self._payload_repeats(mmsi, payload, time)
        if len(rows):
            self.newest = max(self.newest, int(rows["time"].max()))
            self._sweep()
        return found

    def _row_repeats(self, mmsi: int, time: int) -> bool:
        """A file is read in order of time, so that equal times of a vessel are neighbours."""
        if self.row_time.get(mmsi) == time:
            return True
        self.row_time[mmsi] = time
        return False

    def _payload_repeats(self, mmsi: int, payload: int, time: int) -> bool:
        first = self.first.get((mmsi, payload))
        if first is not None and abs(time - first) <= REPEAT_WITHIN:
            return True
        self.first[mmsi, payload] = time
        self.fresh.append((mmsi, payload, time))
        return False

    def _sweep(self) -> None:
        """Forget now and then, not each time: looking at all of them costs as much as a batch."""
        if self.newest - self._swept > REPEAT_WITHIN:
            oldest = self.newest - REMEMBER_PAYLOADS
            self.first = {key: time for key, time in self.first.items() if time >= oldest}
            self._swept = self.newest


def are_jumps(before: ReportArray, after: ReportArray) -> Flags:
    """Element by element: the step is longer than 0.5 nmi and faster than 60 kn, or takes no time at all."""
    jump = np.zeros(len(after), dtype=bool)
    doubtful = np.flatnonzero(_may_be_longer(before, after, JUMP_NMI))
    if len(doubtful) == 0:
        return jump
    p, q = before[doubtful], after[doubtful]
    miles = nautical_miles(p["lon"], p["lat"], q["lon"], q["lat"])
    hours = (q["time"] - p["time"]) / MICROSECONDS_PER_HOUR
    jump[doubtful] = (miles > JUMP_NMI) & ((hours <= 0) | (miles > JUMP_KNOTS * hours))
    return jump


def _may_be_longer(p: ReportArray, q: ReportArray, miles: float) -> Flags:
    """False only where north and east steps, taken at their longest, cannot add up to the limit."""
    east = np.abs(q["lon"] - p["lon"])
    east = np.minimum(east, 360 - east)
    north = np.abs(q["lat"] - p["lat"])
    longer: Flags = (east + north) * LONGEST_DEGREE_NMI > miles
    return longer


class Verdict(Enum):
    """What becomes of a report."""

    ACCEPTED = "accepted"
    HELD = "held"  # the vessel's suspect now
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A report's verdict; `with_suspect`: the suspect held until now is accepted before it."""

    verdict: Verdict
    with_suspect: bool = False


def judge(last: Any, suspect: Any, report: Any, *, live: bool) -> Judgement:
    """One report against its vessel's last accepted position and suspect, each a row or None.

    In each case the old suspect is gone afterwards: accepted, or dropped as a bad fix.
    Live, a report that is not newer than the last accepted one is late and leaves the suspect held.
    """
    if last is None:
        return Judgement(Verdict.ACCEPTED)
    if live and report["time"] <= last["time"]:
        return Judgement(Verdict.LATE)
    if not _jumps(last, report):
        return Judgement(Verdict.ACCEPTED)
    if suspect is None or _jumps(suspect, report):
        return Judgement(Verdict.HELD)
    if live and report["time"] <= suspect["time"]:
        return Judgement(Verdict.LATE, with_suspect=True)
    return Judgement(Verdict.ACCEPTED, with_suspect=True)


def _jumps(before: Any, after: Any) -> bool:
    pair = np.array([before, after], dtype=before.dtype)
    return bool(are_jumps(pair[:1], pair[1:])[0])
