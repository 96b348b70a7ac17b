"""The live watch: batches as they arrive, committed at once, on a state that outlives every process.

    listeners (one thread per feed) ──queue──▶ LiveWatch.take ──one transaction──▶ database

One process holds the shard by an advisory lock; another stands by until the lock is free. The lock is only about
efficiency: the scope's cursor is what makes it correct, and a watch that finds it moved reloads and evaluates
again. A lost database connection is waited out with the batch in hand; only a stop ends that wait, and what could not
be committed by then is said to be lost. A report that our own code cannot take is
found by halving its batch, counted, and left out.
"""

from __future__ import annotations

import threading
import time as clock_of_this_machine
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog
from django.db import InterfaceError, OperationalError, connection

from resilience.metrics import counter
from vessels.identities import record_statics
from vessels.models import Feed, Scope
from vessels.reports import Batch, Rejected
from vessels.watch.bounded import add_counts
from vessels.watch.clock import Gap
from vessels.watch.core import Counts, Outcome, Watch
from vessels.watch.events import MISSING
from vessels.watch.memory import load_vessels, save_vessels
from vessels.watch.payloads import load_repeats, write_payloads
from vessels.watch.store import (
    Fenced,
    Notes,
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

Now = Callable[[], int]

MESSAGES = counter("watch_messages", "AIS messages of vessels that the watch evaluated.")
POSITIONS = counter("watch_positions", "Positions that the watch accepted.")
EVENTS = counter("watch_events", "Events that the watch wrote.", ("kind",))
FENCED = counter("watch_fenced", "Batches evaluated again because the state had moved.")

# "WKWATCH1": a number of our own among PostgreSQL's advisory locks
SHARD_LOCK = int.from_bytes(b"WKWATCH1", "big")
LONGEST_WAIT = 5.0
# How long, once told to stop, we go on trying: a restarted server or a standby may take over meanwhile.
LAST_TRIES_SECONDS = 3.0


class DatabaseAway(Exception):
    """We are told to stop, and what was heard cannot be committed. Nothing of it is in the database."""


@dataclass(slots=True)
class Totals:
    """What this process has seen, for its summary."""

    counts: Counts = field(default_factory=Counts)
    rejected: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)


class LiveWatch:
    """The live scope as one process evaluates it. A batch's feed column holds the numbers of feeds' rows."""

    def __init__(self, *, now: Now, stop: threading.Event | None = None) -> None:
        self.now = now
        self.stop = stop or threading.Event()
        self.totals = Totals()
        self._last_try_at: float | None = None  # of the monotonic clock; set when the database is away at a stop
        self._interrupted: set[int] | None = None  # feeds not heard since we were down; None: all of them
        self.load()

    def load(self) -> None:
        """Take the state as the database has it."""
        scope = scope_named(Scope.LIVE)
        clocks = load_clocks(interrupted=False)
        if self._interrupted is None:
            self._interrupted = set(clocks)
        for feed, clock in clocks.items():
            clock.interrupted = feed in self._interrupted and clock.watermark is not None
        with connection.cursor() as cursor:
            vessels = load_vessels(cursor, scope.id)
        stamp, areas, repeats = areas_stamp(), watched_areas(), load_repeats(scope.id)
        # All of it or nothing: a new cursor with an old state would pass every check.
        self.scope, self.areas_stamp = scope, stamp
        self.watch = Watch(
            areas=areas,
            clocks=clocks,
            feeds=range(max(clocks, default=0) + 1),
            live=True,
            vessels=vessels,
            repeats=repeats,
        )
        # Memberships to be written: those that areas changed, and all others for the version of their area.
        self._changed: set[int] = self.watch.changed_at_start | set(vessels.inside)
        self._commit(Outcome(), None)

    def refresh(self) -> bool:
        """Follow areas and rules that changed; returns whether they did."""
        stamp = areas_stamp()
        if stamp == self.areas_stamp:
            return False
        self._changed |= self.watch.use_areas(watched_areas()) | set(self.watch.vessels.inside)
        self.areas_stamp = stamp
        try:
            self._commit(Outcome(), None)
        except Fenced as fenced:  # a run over files has finished since the last batch
            log.warning("watch_fenced", reason=str(fenced))
            self.load()
        log.info("watch_areas_changed", areas=len(self.watch.areas.by_id))
        return True

    def take(self, batch: Batch, *, feed: int) -> None:
        """Evaluate and commit one batch of one feed, whatever happens meanwhile.

        Raises `DatabaseAway` when told to stop while the database is away.
        """
        wait, stale = 0.2, False
        while True:
            try:
                if stale:  # what was evaluated and not committed must not be evaluated upon
                    connection.close_if_unusable_or_obsolete()
                    self.load()
                return self._take(batch, feed)
            except Fenced as fenced:
                FENCED.inc()
                log.warning("watch_fenced", reason=str(fenced))
            except (OperationalError, InterfaceError) as error:
                self._wait_for_database(wait, error)
                wait = min(wait * 2, LONGEST_WAIT)
            stale = True

    def _wait_for_database(self, seconds: float, error: Exception) -> None:
        """A stop ends the wait; from then on a few tries are left. Raises `DatabaseAway` after them."""
        log.warning("watch_database_lost", error=str(error), retry_in=seconds)
        if not self.stop.wait(seconds):
            return
        now = clock_of_this_machine.monotonic()
        if self._last_try_at is None:
            self._last_try_at = now + LAST_TRIES_SECONDS
        if now >= self._last_try_at:
            raise DatabaseAway(str(error)) from error
        clock_of_this_machine.sleep(0.2)

    def _take(self, batch: Batch, feed: int) -> None:
        try:
            outcome = self.watch.evaluate(batch)
            self._commit(outcome, batch, feed)
        except (Fenced, OperationalError, InterfaceError):
            raise
        except Exception as error:
            log.exception("watch_batch_failed", reports=len(batch))
            self.load()
            self._leave_out(batch, feed, error)
        else:
            self._tell(outcome, batch)

    def _leave_out(self, batch: Batch, feed: int, error: Exception) -> None:
        """Halve the batch until the report that cannot be taken stands alone."""
        if len(batch) > 1:
            middle = len(batch) // 2
            self.take(part_of(batch, 0, middle), feed=feed)
            self.take(part_of(batch, middle, len(batch)), feed=feed)
        elif len(batch) == 1:
            row = batch.rows[0]
            refused = Batch(batch.rows[:0], rejected={"failed": Rejected(1, f"{row}: {error}"[:500])})
            outcome = Outcome()
            self._commit(outcome, refused, feed)
            self._tell(outcome, refused)

    def _commit(self, outcome: Outcome, batch: Batch | None, feed: int | None = None) -> None:
        now = self.now()
        watch, vessels = self.watch, self.watch.vessels
        versions = {area.id: area.version for area in watch.areas.by_id.values()}
        notes = self._notes(outcome, batch, feed)
        with one_transaction(), connection.cursor() as cursor:
            scope_move(cursor, self.scope, self.scope.cursor + 1)
            if batch is not None:
                record_statics(rows=batch.rows, statics=batch.statics)
            write_positions(cursor, outcome.positions)
            told = write_events(cursor, outcome.events, now=now)
            write_notes(cursor, notes, now=now)
            save_vessels(cursor, self.scope.id, vessels, outcome.touched | self._changed, watch.clocks, versions)
            if batch is not None and len(batch):
                write_payloads(cursor, self.scope.id, watch.repeats.fresh, newest=watch.repeats.newest)
        self.scope.cursor += 1
        self._changed = set()
        for kind in told:
            EVENTS.labels(kind=kind).inc()
            self.totals.events[kind] = self.totals.events.get(kind, 0) + 1

    def _notes(self, outcome: Outcome, batch: Batch | None, feed: int | None) -> Notes:
        notes = Notes(counts=outcome.counts, gaps=outcome.gaps)
        notes.clocks = {number: self.watch.clocks[number] for number in outcome.counts}
        if batch is not None and feed is not None and batch.rejected:
            notes.rejected = {feed: batch.rejected}
        return notes

    def _tell(self, outcome: Outcome, batch: Batch) -> None:
        """After the commit: totals, metrics, log lines."""
        if self._interrupted is not None:
            self._interrupted -= set(outcome.counts)
        before = self.totals.counts
        messages, positions = before.messages, before.positions
        add_counts(before, outcome)
        MESSAGES.inc(before.messages - messages)
        POSITIONS.inc(before.positions - positions)
        for kind, found in batch.rejected.items():
            self.totals.rejected[kind] = self.totals.rejected.get(kind, 0) + found.count
        for feed, gaps in outcome.gaps.items():
            for gap in gaps:
                _log_gap(feed, gap)
        for event in outcome.events:
            if event.kind == MISSING:
                log.info("vessel_missing", mmsi=event.mmsi, area=event.area, duration=event.duration)


def _log_gap(feed: int, gap: Gap) -> None:
    seconds = (gap.end - gap.start) / 1_000_000
    log.warning("feed_gap", feed=feed, seconds=seconds, reason="downtime" if gap.downtime else "silent")


def part_of(batch: Batch, start: int, end: int) -> Batch:
    """Reports start…end of a batch. What was rejected goes with the first part."""
    statics = [replace(s, row=s.row - start) for s in batch.statics if start <= s.row < end]
    return Batch(
        batch.rows[start:end],
        statics=statics,
        stations=batch.stations,
        raw=batch.raw[start:end] if batch.raw is not None else None,
        rejected=batch.rejected if start == 0 else {},
    )


# The shard, areas and feeds


def shard_taken() -> bool:
    """Take the live shard for this database session; False while another process has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [SHARD_LOCK])
        return bool(cursor.fetchone()[0])


def areas_stamp() -> str:
    """A text that changes whenever areas in use, their versions, or what is looked for in them change."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT COALESCE(md5(string_agg(concat_ws(' ', u.id, u.area_id, u.duration, u.since, a.version),
                                              ',' ORDER BY u.id)), '')
               FROM vessels_areause u JOIN vessels_area a ON a.id = u.area_id WHERE a.archived_at IS NULL"""
        )
        return str(cursor.fetchone()[0])


def active_feeds() -> list[Feed]:
    """Feeds configured in the admin."""
    return list(Feed.objects.filter(active=True).order_by("id"))
