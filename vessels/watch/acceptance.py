"""From the reports of a batch to accepted positions, by vessel.

A vessel whose reports hold no surprise (no jump, no suspect held, nothing late) is judged with all others in
one vectorised look at the steps between its successive reports. The few others are judged report by report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vessels.quality import Verdict, are_jumps, judge
from vessels.reports import ReportArray
from vessels.watch.state import Integers, Report, Vessels

Remember = Callable[[int], Report]


@dataclass(slots=True)
class Accepted:
    """Accepted positions, sorted by slot and then in order of acceptance."""

    rows: ReportArray
    slot: Integers
    at: Integers  # the report, by its place in the batch, with which it was accepted
    reports: dict[int, Report]  # those that came from before, or late to their acceptance: place → report
    ties: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def starts(self) -> NDArray[np.bool_]:
        """Whether each is the first of its vessel in this batch."""
        first = np.ones(len(self.slot), dtype=bool)
        first[1:] = np.diff(self.slot) != 0
        return first

    def ends(self) -> NDArray[np.bool_]:
        last = np.ones(len(self.slot), dtype=bool)
        last[:-1] = np.diff(self.slot) != 0
        return last


@dataclass(slots=True)
class Judged:
    """All that became of a batch's candidates."""

    accepted: Accepted
    late: list[int]  # places in the batch
    held: list[int]
    suspects: dict[int, Report | None]  # what each surprising vessel's suspect is now


def judge_batch(
    rows: ReportArray, slots: Integers, candidates: Integers, vessels: Vessels, remember: Remember, *, live: bool
) -> Judged:
    """`candidates`: places of rows with a place that are no repeats, in order; `remember` keeps a row for later."""
    order = candidates[np.argsort(slots[candidates], kind="stable")]
    surprising = _surprising(rows, slots, order, vessels, live=live)
    plain = order[~np.isin(slots[order], surprising)]
    judged = Judged(_plainly(rows, slots, plain), [], [], {})
    taken: list[tuple[int, int, Report]] = []
    for slot in surprising.tolist():
        taken += _one_by_one(rows, slot, order[slots[order] == slot], vessels, remember, judged, live=live)
    judged.accepted = _together(judged.accepted, taken)
    judged.accepted.ties = _ties(judged.accepted, vessels)
    return judged


def _surprising(rows: ReportArray, slots: Integers, order: Integers, vessels: Vessels, *, live: bool) -> Integers:
    """Slots of the vessels that need a closer look."""
    slot = slots[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.diff(slot) != 0
    before = rows[order][np.maximum(np.arange(len(order)) - 1, 0)]
    before[first] = vessels.last[slot[first]]
    has_before = ~first | vessels.positioned(slot)
    surprise = has_before & are_jumps(before, rows[order])
    if live:
        surprise |= has_before & (rows["time"][order] <= before["time"])
    held = np.array([s for s in vessels.suspects if s in set(slot.tolist())], dtype=np.int64)
    return np.union1d(slot[surprise], held)


def _plainly(rows: ReportArray, slots: Integers, plain: Integers) -> Accepted:
    return Accepted(rows[plain], slots[plain], plain, {})


def _one_by_one(
    rows: ReportArray,
    slot: int,
    places: Integers,
    vessels: Vessels,
    remember: Remember,
    judged: Judged,
    *,
    live: bool,
) -> list[tuple[int, int, Report]]:
    """Accepted reports of one vessel as (slot, accepted at, report)."""
    known = bool(vessels.positioned(np.array([slot]))[0])
    last = vessels.last[slot].copy() if known else None
    suspect = vessels.suspects.get(slot)
    taken = []
    for place in places.tolist():
        report = remember(place)
        judgement = judge(last, suspect.row if suspect else None, report.row, live=live)
        if judgement.with_suspect and suspect is not None:
            taken.append((slot, place, suspect))
            last, suspect = suspect.row, None
        if judgement.verdict is Verdict.ACCEPTED:
            taken.append((slot, place, report))
            last, suspect = report.row, None
        elif judgement.verdict is Verdict.HELD:
            judged.held.append(place)
            suspect = report
        else:
            judged.late.append(place)
    judged.suspects[slot] = suspect
    return taken


def _together(plain: Accepted, taken: list[tuple[int, int, Report]]) -> Accepted:
    """Both kinds in one order: by slot, as accepted. No vessel is of both kinds."""
    if not taken:
        return plain
    extra = np.array([report.row for _, _, report in taken], dtype=plain.rows.dtype)
    extra["station"] = -1  # an index into the stations of the batch that brought it; `reports` has the name
    slot = np.concatenate([plain.slot, [slot for slot, _, _ in taken]])
    at = np.concatenate([plain.at, [at for _, at, _ in taken]])
    order = np.argsort(slot, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    reports = {int(place[len(plain.at) + i]): report for i, (_, _, report) in enumerate(taken)}
    return Accepted(np.concatenate([plain.rows, extra])[order], slot[order], at[order], reports)


def _ties(accepted: Accepted, vessels: Vessels) -> Integers:
    """How many of the vessel's positions were accepted before at the very same time: part of an event's key."""
    ties = np.zeros(len(accepted.slot), dtype=np.int64)
    time, first = accepted.rows["time"], accepted.starts()
    before = np.concatenate([time[:1], time[:-1]])
    before[first] = np.where(vessels.positioned(accepted.slot[first]), vessels.last["time"][accepted.slot[first]], -1)
    for k in np.flatnonzero(time == before).tolist():
        ties[k] = 1 + (vessels.ties[accepted.slot[k]] if first[k] else ties[k - 1])
    return ties
