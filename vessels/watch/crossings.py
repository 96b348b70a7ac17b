"""Entered, exited, appeared: the set difference of (position, area) between successive positions.

Each accepted position k has a set of areas, and so has the position before it. Written as sorted numbers
k × areas + area, the pairs of *now* without those of *before* are the entries, the others the exits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vessels.watch.acceptance import Accepted
from vessels.watch.areas import WatchedAreas
from vessels.watch.events import APPEARED, ENTERED, EXITED, Event, Row, column, describe, evidence_of
from vessels.watch.state import Integers, Vessels


@dataclass(slots=True)
class Located:
    """Pairs (position, area) of accepted positions, sorted, with quick access by position."""

    position: Integers
    area: Integers

    def areas_of(self, k: int) -> list[int]:
        low, high = np.searchsorted(self.position, (k, k + 1))
        found: list[int] = self.area[low:high].tolist()
        return found


@dataclass(frozen=True, slots=True)
class Noticed:
    """When a batch's reports come in the order of all: their times, and how many came before the batch."""

    times: Integers
    before: int

    def order_of(self, accepted: Accepted, k: int) -> tuple[int, int, int]:
        """A suspect is noticed with the report that confirms it, just before that one."""
        at = int(accepted.at[k])
        confirms = k > 0 and accepted.slot[k - 1] == accepted.slot[k] and int(accepted.at[k - 1]) == at
        return int(self.times[at]), 0, 2 * (self.before + at) + confirms


def locate(accepted: Accepted, areas: WatchedAreas) -> Located:
    return Located(*areas.fence.locate(accepted.rows["lon"], accepted.rows["lat"]))


def crossings(
    accepted: Accepted, located: Located, vessels: Vessels, areas: WatchedAreas, noticed: Noticed
) -> list[Event]:
    """Events of a batch; `vessels` is still as it was before the batch."""
    ids = np.array(sorted(areas.by_id), dtype=np.int64)
    if len(ids) == 0 or len(accepted.rows) == 0:
        return []
    now = located.position * len(ids) + np.searchsorted(ids, located.area)
    before = _before(accepted, located, vessels, ids)
    entries = np.setdiff1d(now, before, assume_unique=True)
    exits = np.setdiff1d(before, now, assume_unique=True)
    pairs = [(int(key), True) for key in entries] + [(int(key), False) for key in exits]
    return [
        _event(accepted, vessels, areas, noticed, key // len(ids), int(ids[key % len(ids)]), into)
        for key, into in pairs
    ]


def _before(accepted: Accepted, located: Located, vessels: Vessels, ids: Integers) -> Integers:
    """Pairs (position k, area that holds the position before k)."""
    starts = accepted.starts()
    follower = located.position + 1
    same = follower < len(starts)
    same[same] = ~starts[follower[same]]
    keys = follower[same] * len(ids) + np.searchsorted(ids, located.area[same])
    first = np.flatnonzero(starts)
    remembered = [
        (k, area)
        for k, slot in zip(first.tolist(), accepted.slot[first].tolist(), strict=True)
        for area in vessels.inside.get(slot, ())
    ]
    if not remembered:
        return np.sort(keys)
    pairs = np.array(remembered, dtype=np.int64)
    return np.sort(np.concatenate([keys, pairs[:, 0] * len(ids) + np.searchsorted(ids, pairs[:, 1])]))


def _event(
    accepted: Accepted, vessels: Vessels, areas: WatchedAreas, noticed: Noticed, k: int, area: int, into: bool
) -> Event:
    q: Row = accepted.rows[k].item()
    p = position_before(accepted, vessels, k)
    kind = (APPEARED if p is None else ENTERED) if into else EXITED
    time = column(q, "time")
    return Event(
        kind=kind,
        mmsi=column(q, "mmsi"),
        area=area,
        area_version=areas.version(area),
        feed=column(q, "feed"),
        occurred_at=time,
        received_at=column(q, "received_at"),
        lon=column(q, "lon"),
        lat=column(q, "lat"),
        position_key=position_key(time, int(accepted.ties[k])),
        not_before=None if p is None else column(p, "time"),
        not_after=None if p is None else time,
        evidence=evidence_of(q, before=None if p is None else describe(p), after=describe(q)),
        order=noticed.order_of(accepted, k),
    )


def position_key(time: int, tie: int) -> str:
    """Names a position of a vessel: its time, and its number among those at the very same time."""
    return f"{time}.{tie}" if tie else str(time)


def position_before(accepted: Accepted, vessels: Vessels, k: int) -> Row | None:
    if k > 0 and accepted.slot[k - 1] == accepted.slot[k]:
        row: Row = accepted.rows[k - 1].item()
        return row
    last = vessels.last[int(accepted.slot[k])]
    return last.item() if last["mmsi"] != 0 else None
