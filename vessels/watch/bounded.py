"""A run over files: all of them read whole, merged in order of time, evaluated in a scope of their own.

    1. begin   the vessels of the files as they were just before the first report (`memory.take_over`), and what
               was heard in the minute before it (`payloads.take_over_payloads`)
    2. commit  batch by batch: positions, events, and the scope's cursor (reports evaluated so far)
    3. finish  the vessels' states go into the live scope where they are newer; the sources are marked finished

The evaluation depends only on the start and on the files. So a run that was killed is resumed by evaluating again
from the start, in memory, and writing only what lies beyond the cursor: the same events, whatever happened.
"""

from __future__ import annotations

import hashlib
import time as clock_of_this_machine
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import structlog
from django.db import connection
from django.db.backends.utils import CursorWrapper

from vessels.identities import record_statics
from vessels.models import BoundedSource, Scope
from vessels.reports import Batch, Rejected, StaticReport
from vessels.watch.clock import FeedClock, whole_clock
from vessels.watch.copying import time_text
from vessels.watch.core import Counts, Outcome, Watch
from vessels.watch.events import to_datetime
from vessels.watch.memory import load_vessels, save_vessels, take_over
from vessels.watch.payloads import keep_payloads, load_repeats, take_over_payloads
from vessels.watch.state import Integers
from vessels.watch.store import (
    Fenced,
    Notes,
    ScopeCursor,
    load_clocks,
    one_transaction,
    scope_move,
    scope_named,
    watched_areas,
    write_events,
    write_notes,
    write_positions,
)

log = structlog.get_logger(__name__)

LIVE = Scope.LIVE
# Larger ones save time where the same vessels come again and again; a killed run loses at most one.
BATCH = 20_000
# A replay at N times real time commits about this often, in seconds of our own time.
REPLAY_STEP = 0.5

Now = Callable[[], int]
Progress = Callable[[int, int], None]  # reports evaluated, reports in all


@dataclass(frozen=True, slots=True)
class ReadSource:
    """A file that was read: its row in the database and what is in it. Its reports' feed index is its place."""

    source: BoundedSource
    batch: Batch


@dataclass(slots=True)
class Summary:
    """What a run found, whether in one go or in several."""

    counts: Counts = field(default_factory=Counts)
    rejected: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    new_events: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes: batches of at most so many reports, N times real time if `speed`, until `stop`."""

    size: int = BATCH
    speed: float | None = None
    stop: Callable[[], bool] = lambda: False
    sleep: Callable[[float], None] = clock_of_this_machine.sleep
    monotonic: Callable[[], float] = clock_of_this_machine.monotonic


@dataclass(frozen=True, slots=True)
class Merged:
    """All files' reports in order of time; ties by order of the files, then in the file."""

    batch: Batch
    place: Integers  # each report's number within its own file in that order

    def slice(self, start: int, end: int) -> Batch:
        raw = self.batch.raw[start:end] if self.batch.raw is not None else None
        return Batch(self.batch.rows[start:end], stations=self.batch.stations, raw=raw)


def run_bounded(
    sources: Sequence[ReadSource],
    *,
    now: Now,
    pace: Pace = Pace(),
    progress: Progress | None = None,
) -> Summary:
    """Evaluate the sources together. Where another process overtakes, begin again from what it wrote."""
    merged = merge([source.batch for source in sources])
    while True:
        try:
            return _Run(sources, merged, now, pace, progress).run()
        except Fenced as fenced:
            log.warning("watch_fenced", reason=str(fenced))


def merge(batches: Sequence[Batch]) -> Merged:
    """One batch of several. Row numbers of statics and indexes of stations follow."""
    rows = np.concatenate([batch.rows for batch in batches])
    starts = np.cumsum([0, *(len(batch.rows) for batch in batches)])
    stations: list[str] = []
    statics: list[StaticReport] = []
    for start, batch in zip(starts.tolist(), batches, strict=False):
        part = rows[start : start + len(batch.rows)]
        part["station"] = np.where(part["station"] >= 0, part["station"] + len(stations), -1)
        stations += batch.stations
        statics += [replace(static, row=static.row + start) for static in batch.statics]
    order = np.argsort(rows["time"], kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    statics = sorted((replace(static, row=int(rank[static.row])) for static in statics), key=lambda s: s.row)
    raw = None
    if any(batch.raw is not None for batch in batches):
        unsorted = [text for batch in batches for text in (batch.raw or [""] * len(batch.rows))]
        raw = [unsorted[i] for i in order.tolist()]
    rows = rows[order]
    return Merged(Batch(rows, statics=statics, stations=stations, raw=raw), _places(rows["feed"]))


def _places(feeds: Integers) -> Integers:
    places = np.zeros(len(feeds), dtype=np.int64)
    for feed in np.unique(feeds):
        own = feeds == feed
        places[own] = np.arange(int(own.sum()))
    return places


class _Run:
    """One attempt at the whole run."""

    def __init__(
        self, sources: Sequence[ReadSource], merged: Merged, now: Now, pace: Pace, progress: Progress | None
    ) -> None:
        self.sources = sources
        self.merged = merged
        self.rows = merged.batch.rows
        self.now = now
        self.pace = pace
        self.progress = progress or (lambda done, total: None)
        self.summary = Summary()
        self.statics = merged.batch.statics
        self.static_rows = [static.row for static in self.statics]
        self._written: set[tuple[int, bytes]] = set()  # vessels with their class
        self._writing: set[tuple[int, bytes]] = set()
        self._paced_from: tuple[float, int] | None = None  # our clock and event time at the first paced report
        self.scope = self._begin()
        for source in sources:
            source.source.refresh_from_db()
        # A report that an earlier, different run has put into the log is not put there again.
        self.logged_before = np.array([source.source.ordinal for source in sources], dtype=np.int64)
        self.feeds = [source.source.feed_id for source in sources]
        self.clocks = self._clocks()
        self.watch = self._watch()

    def run(self) -> Summary:
        self._count_rejections()
        done = 0
        for start, end in self._cuts():
            self._wait_for(start)
            outcome = self.watch.evaluate(self.merged.slice(start, end))
            if end > self.scope.cursor:
                self._commit(outcome, start, end)
            self._add_to_summary(outcome)
            done = end
            self.progress(done, len(self.rows))
            if self.pace.stop():
                break
        self.summary.stopped = done < len(self.rows)
        if not self.summary.stopped:
            self._finish()
        return self.summary

    # Beginning

    def _begin(self) -> ScopeCursor:
        """The run's scope; a new one takes over its vessels in the same transaction that makes it."""
        live, files = scope_named(LIVE), scope_named(Scope.FILES)
        digest = hashlib.sha256(" ".join(source.source.sha256 for source in self.sources).encode()).hexdigest()
        with one_transaction(), connection.cursor() as cursor:
            scope, new = Scope.objects.get_or_create(key=f"run:{digest[:40]}")
            if new and len(self.rows):
                mmsis = np.unique(self.rows["mmsi"]).tolist()
                first = int(self.rows["time"][0])
                take_over(cursor, live=live.id, run=scope.pk, mmsis=mmsis, first=time_text(first) or "")
                take_over_payloads(cursor, run=scope.pk, known=(live.id, files.id), first=first)
        return ScopeCursor(scope.pk, scope.key, scope.cursor)

    def _clocks(self) -> dict[int, FeedClock]:
        """The files' own clocks are known whole; those of feeds that heard the vessels before stand still."""
        clocks = load_clocks(interrupted=False)
        for index, feed in enumerate(self.feeds):
            times = self.rows["time"][self.rows["feed"] == index]
            clocks[feed] = whole_clock(times, silent_after=clocks[feed].silent_after)
        return clocks

    def _watch(self) -> Watch:
        with connection.cursor() as cursor:
            vessels = load_vessels(cursor, self.scope.id)
        return Watch(
            areas=watched_areas(),
            clocks=self.clocks,
            feeds=self.feeds,
            live=False,
            vessels=vessels,
            repeats=load_repeats(self.scope.id),
        )

    # Batches

    def _cuts(self) -> Iterator[tuple[int, int]]:
        """Ranges of reports; the cursor is always a cut, so that what is written begins exactly there."""
        times, total, start = self.rows["time"], len(self.rows), 0
        while start < total:
            end = min(start + self.pace.size, total)
            if start < self.scope.cursor:
                end = min(end, self.scope.cursor)
            elif self.pace.speed is not None:
                until = int(times[start]) + int(REPLAY_STEP * self.pace.speed * 1_000_000)
                end = min(end, max(start + 1, int(np.searchsorted(times, until, side="right"))))
            yield start, end
            start = end

    def _wait_for(self, start: int) -> None:
        """At N times real time a report is not evaluated before its turn. What is behind the cursor had its turn."""
        if self.pace.speed is None or start < self.scope.cursor or self.pace.stop():
            return
        if self._paced_from is None:
            self._paced_from = (self.pace.monotonic(), int(self.rows["time"][start]))
        wall, event = self._paced_from
        due = wall + (int(self.rows["time"][start]) - event) / 1_000_000 / self.pace.speed
        while (left := due - self.pace.monotonic()) > 0 and not self.pace.stop():
            self.pace.sleep(min(left, 0.2))

    def _commit(self, outcome: Outcome, start: int, end: int) -> None:
        feeds, places = self.rows["feed"][start:end], self.merged.place[start:end]
        fresh = places >= self.logged_before[feeds]
        now = self.now()
        with one_transaction(), connection.cursor() as cursor:
            scope_move(cursor, self.scope, end)
            self._write_vessels(start, end)
            if outcome.positions is not None:
                log_now = outcome.positions
                write_positions(cursor, log_now if fresh.all() else log_now.only(fresh[log_now.at]))
            told = write_events(cursor, outcome.events, now=now)
            notes = Notes(counts=outcome.counts if fresh.any() else {})
            if start == 0:
                notes.rejected = self._rejections()
            write_notes(cursor, notes, now=now)
            self._write_ordinals(cursor, end)
        self.scope.cursor = end
        self._written |= self._writing
        self.summary.new_events += len(told)

    def _write_vessels(self, start: int, end: int) -> None:
        """Vessels and what they say of themselves; a vessel and class already written are not looked at again."""
        rows = self.rows[start:end]
        _, firsts = np.unique(rows[["mmsi", "vessel_class"]], return_index=True)
        new = [i for i in firsts.tolist() if (rows["mmsi"][i], rows["vessel_class"][i]) not in self._written]
        statics = self.statics[bisect_left(self.static_rows, start) : bisect_left(self.static_rows, end)]
        record_statics(rows=rows[sorted(new)], statics=statics)
        self._writing = {(rows["mmsi"][i], rows["vessel_class"][i]) for i in new}

    def _write_ordinals(self, cursor: CursorWrapper, end: int) -> None:
        for index, source in enumerate(self.sources):
            done = int((self.rows["feed"][:end] == index).sum())
            cursor.execute(
                "UPDATE vessels_boundedsource SET ordinal = GREATEST(ordinal, %s), total = %s WHERE id = %s",
                [done, len(source.batch.rows), source.source.pk],
            )

    # The end

    def _finish(self) -> None:
        outcome = self.watch.finish()
        now = self.now()
        versions = {area.id: area.version for area in self.watch.areas.by_id.values()}
        own = {feed: self.clocks[feed] for feed in self.feeds}
        with one_transaction(), connection.cursor() as cursor:
            scope_move(cursor, self.scope, self.scope.cursor + 1)
            told = write_events(cursor, outcome.events, now=now)
            notes = Notes(gaps={feed: clock.gaps for feed, clock in own.items()}, clocks=own)
            if len(self.rows) == 0:
                notes.rejected = self._rejections()
            write_notes(cursor, notes, now=now)
            cursor.execute("UPDATE vessels_scope SET cursor = cursor + 1 WHERE key = %s RETURNING id", [LIVE])
            live = cursor.fetchone()[0]
            vessels = self.watch.vessels
            save_vessels(cursor, live, vessels, range(len(vessels)), self.clocks, versions, only_newer=True)
            keep_payloads(cursor, scope_named(Scope.FILES).id, self.watch.repeats)
            self._close(cursor, now)
        self._add_to_summary(outcome)
        self.summary.new_events += len(told)

    def _close(self, cursor: CursorWrapper, now: int) -> None:
        """Mark the sources finished, and take the run's scope away."""
        for source in self.sources:
            cursor.execute(
                "UPDATE vessels_boundedsource SET finished_at = %s, total = %s WHERE id = %s",
                [to_datetime(now), len(source.batch.rows), source.source.pk],
            )
        for table in ("vessels_membership", "vessels_vesselstate", "vessels_recentpayloads"):
            cursor.execute(f"DELETE FROM {table} WHERE scope_id = %s", [self.scope.id])  # noqa: S608
        cursor.execute("DELETE FROM vessels_scope WHERE id = %s", [self.scope.id])

    # What is told

    def _rejections(self) -> dict[int, dict[str, Rejected]]:
        """Of those sources that no earlier run has counted."""
        return {
            feed: source.batch.rejected
            for feed, source, before in zip(self.feeds, self.sources, self.logged_before.tolist(), strict=True)
            if before == 0 and source.source.finished_at is None
        }

    def _count_rejections(self) -> None:
        for source in self.sources:
            self.summary.rejected.update({kind: found.count for kind, found in source.batch.rejected.items()})

    def _add_to_summary(self, outcome: Outcome) -> None:
        add_counts(self.summary.counts, outcome)
        self.summary.events.update(Counter(event.kind for event in outcome.events))


def add_counts(total: Counts, outcome: Outcome) -> None:
    for counts in outcome.counts.values():
        total.messages += counts.messages
        total.positions += counts.positions
        total.repeats += counts.repeats
        total.late += counts.late
        total.suspects += counts.suspects
