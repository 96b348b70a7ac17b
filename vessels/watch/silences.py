"""Missing and resumed.

A vessel inside an area is missing for *D* at the moment when the alive time of the feed that last heard it
reaches D, if that moment comes strictly before it is next heard. Two ways lead there, and each event takes one:

- the vessel is heard again within this batch: each pair of its successive hearings is looked at (`Gaps`);
- it is not: a heap per feed holds, for each vessel, the earliest moment at which something may be due
  (`Schedule`). Moments only move later (gaps come to light, the vessel is heard again), so an entry is a lower
  bound: it is computed anew when it comes up, and put back if it came too early.

Resumed is the first accepted position after that, once per area and gap.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vessels.reports import ReportArray
from vessels.watch.acceptance import Accepted
from vessels.watch.areas import WatchedAreas
from vessels.watch.clock import NEVER, FeedClock
from vessels.watch.crossings import Located, Noticed, position_before
from vessels.watch.events import MISSING, RESUMED, Event, Row, column, describe, evidence_of, iso
from vessels.watch.state import UNHEARD, Integers, Silence, Vessels


@dataclass(slots=True)
class Due:
    """What is missing, and when: the rule of EVENTS in one place."""

    areas: WatchedAreas
    clocks: dict[int, FeedClock]
    live: bool

    def moments(self, inside: Iterable[int], heard: int, feed: int, raised: set[tuple[int, int]]) -> Iterator[Moment]:
        """For each duration of each area that holds the vessel, when it is reached, if it was not raised yet.

        A rule counts from its own start, but a bounded source is read as if every rule had always been there.
        """
        clock = self.clocks[feed]
        for area in inside:
            for duration, since in self.areas.missing.get(area, ()):
                if (area, duration) not in raised:
                    start = max(heard, since) if self.live else heard
                    yield Moment(clock.moment(start, duration), area, duration)

    def event(self, moment: Moment, last: Row, heard: int, feed: int, received_at: int) -> Event:
        return Event(
            kind=MISSING,
            mmsi=column(last, "mmsi"),
            area=moment.area,
            area_version=self.areas.version(moment.area),
            feed=feed,
            occurred_at=moment.time,
            received_at=received_at,
            lon=column(last, "lon"),
            lat=column(last, "lat"),
            position_key=str(heard),
            duration=moment.duration,
            gap_start=heard,
            evidence=evidence_of(last, last=describe(last), last_heard=iso(heard)),
            order=(moment.time, 1, 0),
        )


class Moment(NamedTuple):
    time: int
    area: int
    duration: int


@dataclass(slots=True)
class Schedule:
    """When to look at which vessel again: at most one valid entry for each."""

    heaps: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    entries: dict[int, tuple[int, int]] = field(default_factory=dict)  # slot → (feed, time)

    def put(self, slot: int, feed: int, time: int) -> None:
        known = self.entries.get(slot)
        if known is not None and known[0] == feed and known[1] <= time:
            return  # it will be looked at early enough
        self.entries[slot] = (feed, time)
        heapq.heappush(self.heaps.setdefault(feed, []), (time, slot))

    def take(self, feed: int, before: int) -> Iterator[int]:
        """Slots to look at whose time is before the given one."""
        heap = self.heaps.get(feed, [])
        while heap and heap[0][0] < before:
            time, slot = heapq.heappop(heap)
            if self.entries.get(slot) == (feed, time):
                del self.entries[slot]
                yield slot


class Pair(NamedTuple):
    """A vessel heard at `heard` by `feed`, and next with the batch's report `at`."""

    slot: int
    at: int
    heard: int
    feed: int


@dataclass(slots=True)
class Hearings:
    """A batch's hearings by vessel: the pairs that are far enough apart, and who was last heard when by whom."""

    pairs: list[Pair]
    slots: Integers
    heard: Integers
    feed: Integers


def hearings(rows: ReportArray, slots: Integers, vessels: Vessels, shortest: int | None) -> Hearings:
    """Successive hearings of each vessel, beginning with the one before the batch. A hearing that is older than
    one before it (live) changes nothing: when a vessel was last heard only moves forward."""
    unique = np.unique(slots)
    slot = np.concatenate([unique, slots])
    time = np.concatenate([vessels.heard[unique], rows["time"]])
    feed = np.concatenate([vessels.heard_feed[unique], rows["feed"]])
    order = np.argsort(slot, kind="stable")
    slot, time, feed = slot[order], time[order], feed[order]
    group = np.cumsum(np.diff(slot, prepend=slot[:1]) != 0)
    newest = _newest_so_far(group, time)
    pairs: list[Pair] = []
    if shortest is not None:
        steps = time[1:] - time[newest[:-1]]
        far = (group[1:] == group[:-1]) & (time[newest[:-1]] > UNHEARD) & (steps > shortest)
        for i in np.flatnonzero(far).tolist():
            source = newest[i]
            at = int(order[i + 1]) - len(unique)
            pairs.append(Pair(int(slot[i]), at, int(time[source]), int(feed[source])))
    ends = newest[np.flatnonzero(np.append(np.diff(group) != 0, [True]))]
    return Hearings(pairs, unique, time[ends], feed[ends])


def _newest_so_far(group: Integers, time: Integers) -> Integers:
    """For each place the place of its group's newest time up to there (of equal ones the last)."""
    if bool(np.all((np.diff(time) >= 0) | (np.diff(group) != 0))):
        return np.arange(len(time))
    newest = list(range(len(time)))
    groups, times = group.tolist(), time.tolist()
    for i in range(1, len(times)):
        if groups[i] == groups[i - 1] and times[i] < times[newest[i - 1]]:
            newest[i] = newest[i - 1]
    return np.array(newest, dtype=np.int64)


@dataclass(slots=True)
class Gaps:
    """Missing and resumed for the vessels that a batch heard; `vessels` is as before the batch but for silences."""

    due: Due
    vessels: Vessels
    accepted: Accepted
    located: Located
    noticed: Noticed
    received: Integers

    def events(self, heard: Hearings) -> Iterator[Event]:
        """In each vessel's order: what fell due before a report, then what its accepted position resumes."""
        pairs: dict[int, list[Pair]] = {}
        for pair in heard.pairs:
            pairs.setdefault(pair.slot, []).append(pair)
        unresumed = [s for s in heard.slots.tolist() if s in self.vessels.silences]
        for slot in sorted({*pairs, *unresumed}):
            yield from self._of_vessel(slot, pairs.get(slot, []))

    def _of_vessel(self, slot: int, pairs: list[Pair]) -> Iterator[Event]:
        low, high = np.searchsorted(self.accepted.slot, (slot, slot + 1)).tolist()
        silence = self.vessels.silences.setdefault(slot, Silence())
        k = low
        for pair in pairs:
            while k < high and self.accepted.at[k] < pair.at:
                yield from self._resumed(silence, k, slot)
                k += 1
            yield from self._missing(silence, pair, k, low)
        for rest in range(k, high):
            yield from self._resumed(silence, rest, slot)

    def _missing(self, silence: Silence, pair: Pair, k: int, low: int) -> Iterator[Event]:
        """Positions low…k−1 of this batch were accepted before the silence."""
        last, inside = self._last(pair.slot, k, low)
        if last is None:
            return
        raised = silence.raised if pair.heard == self.vessels.heard[pair.slot] else set()
        until = int(self.noticed.times[pair.at])
        known = self.due.clocks[pair.feed].watermark
        for moment in self.due.moments(inside, pair.heard, pair.feed, raised):
            if moment.time < until and known is not None and moment.time <= known:
                silence.went_missing(moment.area, pair.heard)
                received = int(self.received[pair.at])
                yield self.due.event(moment, last, pair.heard, pair.feed, received)

    def _last(self, slot: int, k: int, low: int) -> tuple[Row | None, list[int]]:
        if k > low:
            return self.accepted.rows[k - 1].item(), self.located.areas_of(k - 1)
        last = self.vessels.last[slot]
        return (last.item() if last["mmsi"] != 0 else None), list(self.vessels.inside.get(slot, ()))

    def _resumed(self, silence: Silence, k: int, slot: int) -> Iterator[Event]:
        """A suspect that was heard before the silence, and is accepted only now, ends no silence."""
        time = int(self.accepted.rows["time"][k])
        over = silence.end_before(time)
        inside = self.located.areas_of(k) if over else []
        for area, start in over.items():
            if area in self.due.areas.by_id:
                yield self._resumed_event(area, start, k, inside=area in inside)

    def _resumed_event(self, area: int, start: int, k: int, *, inside: bool) -> Event:
        q: Row = self.accepted.rows[k].item()
        p = position_before(self.accepted, self.vessels, k)
        return Event(
            kind=RESUMED,
            mmsi=column(q, "mmsi"),
            area=area,
            area_version=self.due.areas.version(area),
            feed=column(q, "feed"),
            occurred_at=column(q, "time"),
            received_at=column(q, "received_at"),
            lon=column(q, "lon"),
            lat=column(q, "lat"),
            position_key=str(start),
            duration=column(q, "time") - start,
            gap_start=start,
            evidence=evidence_of(
                q,
                last=None if p is None else describe(p),
                after=describe(q),
                inside=inside,
                last_heard=iso(start),
            ),
            order=self.noticed.order_of(self.accepted, k),
        )


def next_moment(moments: Iterable[Moment]) -> int:
    return min((moment.time for moment in moments), default=NEVER)
