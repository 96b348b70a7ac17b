"""The watch: reports in, accepted positions and events out. Pure: no database, no clock, no network.

For each batch, in this order:

1. *Hearings.* Every report moves its vessel's "last heard" and its feed's alive clock (`clock`).
2. *Acceptance.* Places that are no repeats and no jumps become positions (`quality`, `acceptance`).
3. *Crossings.* Positions are located in the areas, and compared with the vessel's position before (`crossings`).
4. *Silences.* Vessels heard again after too long were missing, and have resumed (`silences`).
5. The state moves on; then vessels *not* heard again, whose moment has passed, go missing.

A `live` watch takes reports as they arrive and its clocks move with them. A bounded one takes the reports of
whole files in order of time and knows all of its clocks beforehand; `finish` tells it that nothing follows.
Either way the events do not depend on how the reports are cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vessels.quality import Repeats
from vessels.reports import Batch, ReportArray
from vessels.watch.acceptance import Accepted, Judged, judge_batch
from vessels.watch.areas import WatchedAreas
from vessels.watch.clock import NEVER, FeedClock, Gap
from vessels.watch.crossings import Located, Noticed, crossings, locate
from vessels.watch.events import APPEARED, ENTERED, MISSING, Event, column
from vessels.watch.silences import Due, Gaps, Hearings, Schedule, hearings, next_moment
from vessels.watch.state import UNHEARD, Integers, Report, Silence, Vessels


@dataclass(slots=True)
class Counts:
    """What came of one feed's reports in a batch."""

    messages: int = 0
    positions: int = 0
    repeats: int = 0
    late: int = 0
    suspects: int = 0


@dataclass(slots=True)
class Log:
    """Positions for the log, late ones too. `at`: the batch's report with which each was accepted."""

    rows: ReportArray
    stations: list[str]
    raw: list[str | None] | None
    at: Integers
    late: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, which: NDArray[np.bool_]) -> Log:
        places = np.flatnonzero(which)
        return Log(
            self.rows[places],
            [self.stations[i] for i in places.tolist()],
            None if self.raw is None else [self.raw[i] for i in places.tolist()],
            self.at[places],
            self.late[places],
        )


@dataclass(slots=True)
class Outcome:
    """All that one batch changed."""

    events: list[Event] = field(default_factory=list)
    positions: Log | None = None
    counts: dict[int, Counts] = field(default_factory=dict)
    gaps: dict[int, list[Gap]] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)  # slots


class Watch:
    """One evaluation with a state of its own. `feeds` gives the number behind each feed index of a batch."""

    def __init__(
        self,
        *,
        areas: WatchedAreas,
        clocks: dict[int, FeedClock],
        feeds: Iterable[int],
        live: bool,
        vessels: Vessels | None = None,
        repeats: Repeats | None = None,
    ) -> None:
        self.areas = areas
        self.clocks = clocks
        self.feeds = np.array(list(feeds), dtype=np.int64)
        self.live = live
        self.vessels = vessels or Vessels()
        self.repeats = repeats or Repeats()
        self.evaluated = 0
        self._due = Due(areas, clocks, live)
        self._schedule = Schedule()
        self.changed_at_start = self.use_areas(areas)  # memberships that differ from those that were stored

    # Areas

    def use_areas(self, areas: WatchedAreas) -> set[int]:
        """Watch these areas from now on. Memberships are computed anew, silently; returns the slots that changed."""
        self.areas = areas
        self._due = Due(areas, self.clocks, self.live)
        slots = self.vessels.all_positioned()
        last = self.vessels.last[slots]
        position, area = areas.fence.locate(last["lon"], last["lat"])
        found: dict[int, set[int]] = {}
        for place, number in zip(slots[position].tolist(), area.tolist(), strict=True):
            found.setdefault(place, set()).add(number)
        changed = {slot for slot in {*found, *self.vessels.inside} if self._settle(slot, found.get(slot, set()), {})}
        self._schedule = Schedule()
        self._put_on_schedule(self.vessels.inside)
        return changed

    def _settle(self, slot: int, areas: set[int], since: dict[int, int]) -> bool:
        """Set a vessel's memberships; returns whether they are others than before."""
        before = self.vessels.inside.get(slot, {})
        time = int(self.vessels.last["time"][slot])
        after = {area: since.get(area, before.get(area, time)) for area in sorted(areas)}
        if after:
            self.vessels.inside[slot] = after
        else:
            self.vessels.inside.pop(slot, None)
        return after != before

    # Batches

    def evaluate(self, batch: Batch) -> Outcome:
        """One batch of reports: live in order of arrival, bounded in order of time."""
        rows = batch.rows.copy()
        if len(rows) == 0:
            return Outcome()
        rows["feed"] = self.feeds[rows["feed"]]
        slots = self.vessels.slots_of(rows["mmsi"])
        outcome = Outcome(touched=set(np.unique(slots).tolist()))
        if self.live:
            outcome.gaps = self._hear(rows)
        repeats, judged = self._accept(batch, rows, slots)
        self._tell(outcome, rows, slots, judged)
        self._fire(outcome, self._frontiers(int(rows["time"][-1])), rows)
        self._count(outcome, rows, repeats, judged)
        outcome.positions = _log(batch, rows, judged)
        self._add_distances(outcome.events)
        outcome.events.sort(key=Event.sort_key)
        self.evaluated += len(rows)
        return outcome

    def finish(self) -> Outcome:
        """The bounded source is at its end: its feeds' watermarks are their last hearings."""
        outcome = Outcome()
        ends = {feed: clock.watermark + 1 for feed, clock in self.clocks.items() if clock.watermark is not None}
        self._fire(outcome, ends, None)
        self._add_distances(outcome.events)
        outcome.events.sort(key=Event.sort_key)
        return outcome

    def _hear(self, rows: ReportArray) -> dict[int, list[Gap]]:
        found = {}
        for feed in np.unique(rows["feed"]).tolist():
            gaps = self.clocks[feed].hear(rows["time"][rows["feed"] == feed])
            if gaps:
                found[feed] = gaps
        return found

    def _accept(self, batch: Batch, rows: ReportArray, slots: Integers) -> tuple[Integers, Judged]:
        """Places of the repeats, and what became of the others that have a place."""
        placed = np.flatnonzero(~(np.isnan(rows["lon"]) | np.isnan(rows["lat"])))
        repeated = self.repeats.find(rows[placed])
        remember = _rememberer(batch, rows)
        judged = judge_batch(rows, slots, placed[~repeated], self.vessels, remember, live=self.live)
        return placed[repeated], judged

    def _tell(self, outcome: Outcome, rows: ReportArray, slots: Integers, judged: Judged) -> None:
        """Crossings and silences, then the state after them."""
        accepted = judged.accepted
        located = locate(accepted, self.areas)
        noticed = Noticed(rows["time"], self.evaluated)
        heard = hearings(rows, slots, self.vessels, self.areas.shortest)
        crossed = crossings(accepted, located, self.vessels, self.areas, noticed)
        gaps = Gaps(self._due, self.vessels, accepted, located, noticed, rows["received_at"])
        outcome.events += [*crossed, *gaps.events(heard)]
        self._move_positions(accepted, located, crossed)
        self._move_hearings(heard)
        self._move_suspects(judged)
        self._put_on_schedule(outcome.touched)

    def _move_positions(self, accepted: Accepted, located: Located, crossed: list[Event]) -> None:
        since: dict[int, dict[int, int]] = {}
        for event in sorted(crossed, key=Event.sort_key):
            if event.kind in (ENTERED, APPEARED):
                since.setdefault(self.vessels.slots[event.mmsi], {})[event.area] = event.occurred_at
        ends = np.flatnonzero(accepted.ends()) if len(accepted.slot) else np.zeros(0, dtype=np.int64)
        slots = accepted.slot[ends]
        self.vessels.last[slots] = accepted.rows[ends]
        self.vessels.ties[slots] = accepted.ties[ends]
        for k, slot in zip(ends.tolist(), slots.tolist(), strict=True):
            areas = located.areas_of(k)
            if areas or slot in self.vessels.inside:
                self._settle(slot, set(areas), since.get(slot, {}))

    def _move_hearings(self, heard: Hearings) -> None:
        later = heard.heard > self.vessels.heard[heard.slots]
        self.vessels.heard[heard.slots] = heard.heard
        self.vessels.heard_feed[heard.slots] = heard.feed
        for slot in heard.slots[later].tolist():
            silence = self.vessels.silences.get(slot)
            if silence is not None:
                silence.raised.clear()
        for slot in heard.slots.tolist():
            if slot in self.vessels.silences and not self.vessels.silences[slot]:
                del self.vessels.silences[slot]

    def _move_suspects(self, judged: Judged) -> None:
        for slot, suspect in judged.suspects.items():
            if suspect is None:
                self.vessels.suspects.pop(slot, None)
            else:
                self.vessels.suspects[slot] = suspect

    # Vessels that nobody hears

    def _put_on_schedule(self, slots: Iterable[int]) -> None:
        if self.areas.shortest is None:
            return
        for slot in slots:
            inside = self.vessels.inside.get(slot)
            heard = int(self.vessels.heard[slot])
            if not inside or heard == UNHEARD or self.areas.missing.keys().isdisjoint(inside):
                continue
            feed = int(self.vessels.heard_feed[slot])
            soonest = next_moment(self._due.moments(inside, heard, feed, self._raised(slot)))
            if soonest < NEVER:
                self._schedule.put(slot, feed, soonest)

    def _raised(self, slot: int) -> set[tuple[int, int]]:
        silence = self.vessels.silences.get(slot)
        return silence.raised if silence else set()

    def _frontiers(self, newest: int) -> dict[int, int]:
        """For each feed the time before which every moment is decided: a report of that very time may still come."""
        marks = {feed: clock.watermark for feed, clock in self.clocks.items() if clock.watermark is not None}
        return marks if self.live else {feed: min(newest, mark + 1) for feed, mark in marks.items()}

    def _fire(self, outcome: Outcome, frontiers: dict[int, int], rows: ReportArray | None) -> None:
        for feed, frontier in frontiers.items():
            for slot in list(self._schedule.take(feed, frontier)):
                fired = self._fire_vessel(slot, feed, frontier, rows)
                outcome.events += fired
                if fired:
                    outcome.touched.add(slot)

    def _fire_vessel(self, slot: int, feed: int, frontier: int, rows: ReportArray | None) -> list[Event]:
        """What is due of one vessel; what is not goes back on the schedule."""
        if int(self.vessels.heard_feed[slot]) != feed:
            return []
        heard, last = int(self.vessels.heard[slot]), self.vessels.last[slot].item()
        inside = self.vessels.inside.get(slot, {})
        moments = list(self._due.moments(inside, heard, feed, self._raised(slot)))
        due = [moment for moment in moments if moment.time < frontier]
        later = next_moment(moment for moment in moments if moment.time >= frontier)
        if later < NEVER:
            self._schedule.put(slot, feed, later)
        if not due:
            return []
        silence = self.vessels.silences.setdefault(slot, Silence())
        silence.raised |= {(moment.area, moment.duration) for moment in due}
        for moment in due:
            silence.went_missing(moment.area, heard)
        return [self._due.event(m, last, heard, feed, _received_after(rows, m.time, last)) for m in due]

    # The rest of an outcome

    def _add_distances(self, events: list[Event]) -> None:
        """How far the last position of each missing vessel was from the boundary, area by area."""
        by_area: dict[int, list[Event]] = {}
        for event in events:
            if event.kind == MISSING:
                by_area.setdefault(event.area, []).append(event)
        for area, missing in by_area.items():
            lon, lat = np.array([e.lon for e in missing]), np.array([e.lat for e in missing])
            for event, miles in zip(missing, self.areas.boundary(area).distances_nmi(lon, lat), strict=True):
                event.evidence["boundary_nm"] = round(float(miles), 2)

    def _count(self, outcome: Outcome, rows: ReportArray, repeats: Integers, judged: Judged) -> None:
        def add(name: str, feeds: NDArray[np.int32]) -> None:
            for feed, count in zip(*(a.tolist() for a in np.unique(feeds, return_counts=True)), strict=True):
                setattr(outcome.counts.setdefault(feed, Counts()), name, count)

        add("messages", rows["feed"])
        add("positions", judged.accepted.rows["feed"])
        add("repeats", rows["feed"][repeats])
        add("late", rows["feed"][judged.late])
        add("suspects", rows["feed"][judged.held])


def _log(batch: Batch, rows: ReportArray, judged: Judged) -> Log:
    """Positions in the order of acceptance."""
    accepted, late = judged.accepted, np.array(judged.late, dtype=np.int64)
    at = np.concatenate([accepted.at, late])
    order = np.argsort(at, kind="stable")
    table = np.concatenate([accepted.rows, rows[late]])
    names = np.array([*batch.stations, ""], dtype=object)  # station -1 is the last
    stations = names[table["station"]].tolist()
    raw: list[str | None] | None = None if batch.raw is None else [batch.raw[place] for place in at.tolist()]
    for k, report in accepted.reports.items():  # a suspect's station and sentence may be those of an earlier batch
        stations[k] = report.station
        if raw is not None:
            raw[k] = report.raw
    is_late = np.arange(len(at)) >= len(accepted.at)
    return Log(
        table[order],
        [stations[i] for i in order.tolist()],
        None if raw is None else [raw[i] for i in order.tolist()],
        at[order],
        is_late[order],
    )


def _rememberer(batch: Batch, rows: ReportArray) -> Callable[[int], Report]:
    def remember(place: int) -> Report:
        station = int(rows["station"][place])
        return Report(
            row=rows[place].copy(),
            station=batch.stations[station] if station >= 0 else "",
            raw=batch.raw[place] if batch.raw is not None else None,
        )

    return remember


def _received_after(rows: ReportArray | None, moment: int, last: tuple[object, ...]) -> int:
    """When the first report after the moment was received: with it, the silence was long enough."""
    if rows is None:
        return max(moment, int(column(last, "received_at")))
    place = min(int(np.searchsorted(rows["time"], moment, side="right")), len(rows) - 1)
    return int(rows["received_at"][place])
