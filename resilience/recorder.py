"""Writes reports to the incident table from a thread of its own, folded by fingerprint.

The caller hands a report over and, for a fingerprint that is new, waits a moment until its row is committed;
repeats are counted in memory and added to the row about once a second. Where the database does not answer,
the report goes to Slack directly and is kept until it can be written.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from multiprocessing.util import Finalize
from typing import Protocol

import psycopg
import structlog
from psycopg import Connection, sql

from resilience.own_connection import own_connection
from resilience.reports import Report

FOLD_SECONDS = 1.0
CALLER_WAITS_SECONDS = 0.5
DOWN_SECONDS = 5.0
MAX_PENDING = 2_000
TELL_AGAIN_SECONDS = 300.0
UPDATE_AFTER = timedelta(minutes=5)  # as the poster does after its first message

log = structlog.get_logger(__name__)

_UPSERT = sql.SQL(
    """
    INSERT INTO resilience_incident AS incident
        (kind, fingerprint, severity, summary, sample, traceback, first_at, last_at, count, state, resolved_by,
         has_news, next_post_at, posts, posted_count, first_posted_at, last_posted_at,
         post_failures, last_post_error, slack_reference)
    VALUES (%(kind)s, %(fingerprint)s, %(severity)s, %(summary)s, %(sample)s::jsonb, %(traceback)s,
            %(first_at)s, %(last_at)s, %(count)s, 'open', '',
            %(count)s > %(told)s, %(next_post_at)s, %(posts)s, %(told)s, %(told_at)s, %(told_at)s, 0, '', '')
    ON CONFLICT (fingerprint) WHERE state = 'open' DO UPDATE SET
        count = incident.count + EXCLUDED.count,
        first_at = LEAST(incident.first_at, EXCLUDED.first_at),
        last_at = GREATEST(incident.last_at, EXCLUDED.last_at),
        severity = CASE WHEN EXCLUDED.severity = 'critical' THEN 'critical' ELSE incident.severity END,
        has_news = true
    """
)


class Teller(Protocol):
    """What the recorder asks of the poster's thread. Neither call waits or raises."""

    def wake(self) -> None:
        """There are new rows."""

    def tell(self, entries: Sequence[Entry], fault: str) -> None:
        """These could not be written; say so in Slack, and mark them told with `Entry.tell_done`."""


@dataclass
class Entry:
    """A report and its repeats that are not in the database yet."""

    report: Report
    count: int
    last_at: datetime
    written: threading.Event
    told: int = 0  # repeats that Slack was told of directly
    told_at: datetime | None = None
    tell_after: float = 0.0  # monotonic

    def add(self, other: Entry) -> None:
        """Counts a later one in."""
        self.count += other.count
        self.last_at = max(self.last_at, other.last_at)
        self.told += other.told
        self.told_at = self.told_at or other.told_at

    def tell_done(self, *, count: int, at: datetime) -> None:
        self.told, self.told_at = count, at

    def values(self) -> dict[str, object]:
        """The row, for a first insert."""
        told = min(self.told, self.count)
        first_post = self.last_at if self.told_at is None else self.told_at + UPDATE_AFTER
        return {
            "kind": self.report.kind,
            "fingerprint": self.report.fingerprint,
            "severity": self.report.severity,
            "summary": self.report.summary,
            "sample": self.report.sample,
            "traceback": self.report.traceback,
            "first_at": min(self.report.at, self.last_at),
            "last_at": self.last_at,
            "count": self.count,
            "told": told,
            "told_at": self.told_at,
            "posts": 1 if self.told_at else 0,
            "next_post_at": first_post,
        }


class Recorder:
    """One for each process. Threads may share it; after a fork the child begins with an empty one."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._pending: dict[str, Entry] = {}
        self._recent: dict[str, float] = {}
        self._urgent = False
        self._busy = False
        self._down_until = 0.0
        self._thread: threading.Thread | None = None
        self.rows_written = 0

    after_fork = _reset

    def forget(self) -> None:
        """Drops what is not written yet, and what is remembered. For tests."""
        with self._changed:
            self._pending.clear()
            self._recent.clear()
            self._down_until = 0.0
            self.rows_written = 0

    def submit(self, report: Report) -> None:
        """Hands a report over. Waits at most `CALLER_WAITS_SECONDS`, and only for a fingerprint that is new."""
        waits_for = self._hand_over(report)
        if waits_for is not None:
            waits_for.wait(CALLER_WAITS_SECONDS)

    def flush(self, timeout: float) -> bool:
        """Waits until everything is written. False when time is up or the database is down."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            while self._pending or self._busy:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return False
        return True

    def _hand_over(self, report: Report) -> threading.Event | None:
        now = time.monotonic()
        entry = Entry(report, 1, report.at, threading.Event())
        with self._changed:
            held = self._pending.get(report.fingerprint)
            if held is None and len(self._pending) >= MAX_PENDING:
                entry = _overflow(entry)
                held = self._pending.get(entry.report.fingerprint)
            if held is not None:
                held.add(entry)
                return None
            self._pending[entry.report.fingerprint] = entry
            new = now - self._recent.get(report.fingerprint, -FOLD_SECONDS) >= FOLD_SECONDS
            self._urgent = self._urgent or new
            self._start_thread()
            self._changed.notify_all()
            return entry.written if new and now >= self._down_until else None

    def _start_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="incident-recorder", daemon=True)
            self._thread.start()
            if not _is_main_process():  # atexit does not run in multiprocessing's children
                Finalize(None, at_end, exitpriority=100)

    def _run(self) -> None:
        while True:
            batch = self._take()
            try:
                self._handle(batch)
            except Exception as error:  # the thread must live: the batch was put back or is lost with this line
                log.warning("incident_recorder_stumbled", error=repr(error))
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _take(self) -> dict[str, Entry]:
        with self._changed:
            while not self._pending:
                self._changed.wait()
            fold_until = time.monotonic() + FOLD_SECONDS
            while not self._urgent and (left := fold_until - time.monotonic()) > 0:
                self._changed.wait(left)
            batch, self._pending = self._pending, {}
            self._urgent, self._busy = False, True
            return batch

    def _handle(self, batch: dict[str, Entry]) -> None:
        fault = "the database did not answer a moment ago"
        if time.monotonic() >= self._down_until:
            try:
                self._write(batch)
            except Exception as error:  # whatever it is, the reports must reach somebody
                fault = f"{type(error).__name__}: {error}".strip()[:300]
                log.warning("incident_not_written", error=fault, waiting=len(batch))
                self._down_until = time.monotonic() + DOWN_SECONDS
            else:
                self._teller.wake()
                return
        self._put_back(batch)
        self._tell(list(batch.values()), fault)

    def _write(self, batch: dict[str, Entry]) -> None:
        # Sorted, so that two processes lock the same rows in the same order.
        entries = [batch[fingerprint] for fingerprint in sorted(batch)]
        with own_connection() as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '1s'")
            connection.execute("SET LOCAL statement_timeout = '3s'")
            for entry in entries:
                _write_one(connection, entry)
        now = time.monotonic()
        with self._changed:
            if len(self._recent) > MAX_PENDING * 2:
                self._recent.clear()
            self._recent.update(dict.fromkeys(batch, now))
            self.rows_written += len(entries)
        for entry in entries:
            entry.written.set()

    def _put_back(self, batch: dict[str, Entry]) -> None:
        with self._changed:
            for fingerprint, entry in batch.items():
                later = self._pending.get(fingerprint)
                if later is not None:
                    entry.add(later)
                self._pending[fingerprint] = entry
        for entry in batch.values():
            entry.written.set()  # nobody waits for a database that is down

    def _tell(self, entries: list[Entry], fault: str) -> None:
        now = time.monotonic()
        untold = [entry for entry in entries if now >= entry.tell_after]
        for entry in untold:
            entry.tell_after = now + TELL_AGAIN_SECONDS
        if untold:
            self._teller.tell(untold, fault)


def _write_one(connection: Connection, entry: Entry) -> None:
    try:
        with connection.transaction():  # a savepoint: a row that PostgreSQL refuses costs only itself
            connection.execute(_UPSERT, entry.values())
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        log.warning("incident_row_refused", kind=entry.report.kind, error=str(error)[:300])
        bare = replace(entry.report, sample="{}", traceback="", summary=ascii(entry.report.summary))
        with connection.transaction():
            connection.execute(_UPSERT, entry.values() | replace(entry, report=bare).values())


def _overflow(entry: Entry) -> Entry:
    report = replace(
        entry.report,
        kind="incident_overflow",
        fingerprint="incident_overflow",
        summary=f"More than {MAX_PENDING} kinds of incident wait to be written; further ones are only counted here.",
    )
    return replace(entry, report=report)


def _is_main_process() -> bool:
    import multiprocessing

    return multiprocessing.parent_process() is None


def at_end() -> None:
    """At the end of a process: what is reported is written and, if it goes quickly, told."""
    from resilience.incidents import flush

    flush(timeout=2.0)


atexit.register(at_end)


def reset_after_fork(recorder: Recorder) -> None:
    """A lock that another thread held at the fork would never be released in the child."""
    os.register_at_fork(after_in_child=recorder.after_fork)
