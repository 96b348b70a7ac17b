"""The watch's transactions: everything that a batch changes, or nothing.

`commit` writes positions, events, states, memberships, feeds' notes and vessels' identities, and moves the
scope's cursor by compare-and-set, in one transaction. Whoever finds the cursor moved gets `Fenced`: another watch
was faster, so reload the state and evaluate again. After the commit, NOTIFY wakes matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from vessels.geometry.areas import from_stored
from vessels.models import AreaUse, Scope
from vessels.reports import Rejected
from vessels.watch.areas import WatchedArea, WatchedAreas
from vessels.watch.clock import FeedClock, Gap, restored_clock
from vessels.watch.copying import (
    NULL,
    copy_columns,
    escaped,
    interval_text,
    numbers_text,
    time_text,
    times_text,
    upsert_rows,
)
from vessels.watch.core import Counts, Log
from vessels.watch.events import Event, to_microseconds

EVENTS_WAITING = "watchkeeper_events"

_EVENT = (
    "kind",
    "mmsi",
    "vessel_id",
    "area_id",
    "area_version",
    "feed_id",
    "occurred_at",
    "received_at",
    "detected_at",
    "lon",
    "lat",
    "not_before",
    "not_after",
    "position_key",
    "duration",
    "gap_start",
    "evidence",
)


class Fenced(Exception):
    """Another watch moved the scope's cursor: what was evaluated here rests on a state that is no more."""


@dataclass(slots=True)
class ScopeCursor:
    """A scope as this process knows it."""

    id: int
    key: str
    cursor: int


@dataclass(slots=True)
class Notes:
    """What feeds say of themselves with a batch."""

    counts: dict[int, Counts] = field(default_factory=dict)
    gaps: dict[int, list[Gap]] = field(default_factory=dict)
    rejected: dict[int, dict[str, Rejected]] = field(default_factory=dict)
    clocks: dict[int, FeedClock] = field(default_factory=dict)  # those to be stored


def scope_named(key: str) -> ScopeCursor:
    """The scope as it is now, made if it is new."""
    scope, _ = Scope.objects.get_or_create(key=key)
    return ScopeCursor(scope.pk, scope.key, scope.cursor)


def scope_move(cursor: CursorWrapper, scope: ScopeCursor, to: int) -> None:
    """Compare and set, in the caller's transaction. Raises `Fenced`."""
    cursor.execute("UPDATE vessels_scope SET cursor = %s WHERE id = %s AND cursor = %s", [to, scope.id, scope.cursor])
    if cursor.rowcount != 1:
        raise Fenced(f"scope {scope.key}: its cursor is no longer {scope.cursor}")


# Reading


def watched_areas() -> WatchedAreas:
    """Every area that a rule uses, with what is looked for in it."""
    uses = AreaUse.objects.filter(area__archived_at__isnull=True).order_by("area_id", "duration")
    missing: dict[int, list[tuple[int, int]]] = {}
    for area, duration, since in uses.values_list("area_id", "duration", "since"):
        wanted = missing.setdefault(area, [])
        if duration is not None:
            wanted.append((duration // timedelta(microseconds=1), to_microseconds(since)))
    with connection.cursor() as cursor:  # geometry as text: it goes to GEOS, not through Python's JSON
        cursor.execute("SELECT id, version, geometry::text FROM vessels_area WHERE id = ANY(%s)", [list(missing)])
        return WatchedAreas(
            WatchedArea(id, version, from_stored(geometry), tuple(missing[id]))
            for id, version, geometry in cursor.fetchall()
        )


def load_clocks(*, interrupted: bool) -> dict[int, FeedClock]:
    """Every feed's clock as it was stored."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT feed_id, (EXTRACT(EPOCH FROM start) * 1000000)::bigint,
                      (EXTRACT(EPOCH FROM "end") * 1000000)::bigint, reason = 'downtime' FROM vessels_feedgap"""
        )
        gaps: dict[int, list[Gap]] = {}
        for feed, start, end, downtime in cursor.fetchall():
            gaps.setdefault(feed, []).append(Gap(start, end, downtime))
        cursor.execute(
            """SELECT id, (EXTRACT(EPOCH FROM silent_after) * 1000000)::bigint,
                      (EXTRACT(EPOCH FROM watermark) * 1000000)::bigint,
                      (EXTRACT(EPOCH FROM alive) * 1000000)::bigint FROM vessels_feed"""
        )
        return {
            feed: restored_clock(
                silent_after=silent_after,
                watermark=watermark,
                alive=alive,
                gaps=gaps.get(feed, ()),
                interrupted=interrupted,
            )
            for feed, silent_after, watermark, alive in cursor.fetchall()
        }


# Writing, in the caller's transaction


def write_positions(cursor: CursorWrapper, log: Log | None) -> None:
    """Append to the log, in order of acceptance."""
    if log is None or len(log) == 0:
        return
    rows = log.rows
    decimals = {name: np.round(rows[name].astype("f8"), 1).tolist() for name in ("speed", "course", "heading")}
    columns = {
        "time": times_text(rows["time"]),
        "received_at": times_text(rows["received_at"]),
        "mmsi": map(str, rows["mmsi"].tolist()),
        "lon": map(repr, rows["lon"].tolist()),
        "lat": map(repr, rows["lat"].tolist()),
        **{name: numbers_text(values) for name, values in decimals.items()},
        "status": [NULL if status < 0 else str(status) for status in rows["status"].tolist()],
        "message_type": map(str, rows["message_type"].tolist()),
        "vessel_class": map(bytes.decode, rows["vessel_class"].tolist()),
        "station": [escaped(name[:40]) for name in log.stations],
        "feed_id": map(str, rows["feed"].tolist()),
        "late": ["t" if late else "f" for late in log.late.tolist()],
        "raw": [NULL] * len(log) if log.raw is None else map(escaped, log.raw),
    }
    copy_columns(cursor, "vessels_position", columns)


def write_events(cursor: CursorWrapper, events: Sequence[Event], *, now: int) -> list[str]:
    """Insert those that were not told before, and wake matching; returns the kinds of the new ones."""
    if not events:
        return []
    mmsis = sorted({event.mmsi for event in events})
    cursor.execute("SELECT mmsi, id FROM vessels_vessel WHERE mmsi = ANY(%s)", [mmsis])
    vessels = dict(cursor.fetchall())
    # in an order that all writers share: two who tell of the same events must not wait for each other
    ordered = sorted(events, key=lambda e: (e.occurred_at, e.position_key, e.mmsi, e.area, e.kind, e.duration or 0))
    rows = [_event_row(event, vessels.get(event.mmsi), now) for event in ordered]
    told = upsert_rows(cursor, "vessels_event", _EVENT, rows, "ON CONFLICT DO NOTHING RETURNING kind")
    if told:
        cursor.execute("SELECT pg_notify(%s, '')", [EVENTS_WAITING])
    return [kind for (kind,) in told]


def _event_row(event: Event, vessel: int | None, now: int) -> tuple[Any, ...]:
    return (
        event.kind,
        event.mmsi,
        vessel,
        event.area,
        event.area_version,
        event.feed,
        time_text(event.occurred_at),
        time_text(event.received_at),
        time_text(now),
        event.lon,
        event.lat,
        time_text(event.not_before),
        time_text(event.not_after),
        event.position_key,
        interval_text(event.duration),
        time_text(event.gap_start),
        event.evidence,
    )


def write_notes(cursor: CursorWrapper, notes: Notes, *, now: int) -> None:
    """Feeds' counters, watermarks, gaps and rejections."""
    for feed, counts in notes.counts.items():
        cursor.execute(
            """UPDATE vessels_feed SET messages = messages + %s, positions = positions + %s, repeats = repeats + %s,
                   late = late + %s, suspects = suspects + %s, heard_at = %s WHERE id = %s""",
            [counts.messages, counts.positions, counts.repeats, counts.late, counts.suspects, time_text(now), feed],
        )
    for feed, clock in notes.clocks.items():
        cursor.execute(
            "UPDATE vessels_feed SET watermark = %s, alive = %s WHERE id = %s",
            [time_text(clock.watermark), interval_text(clock.alive), feed],
        )
    _write_gaps(cursor, notes.gaps)
    _write_rejections(cursor, notes.rejected, now)


def _write_gaps(cursor: CursorWrapper, gaps: dict[int, list[Gap]]) -> None:
    for feed, found in gaps.items():
        for gap in found:
            cursor.execute(
                """INSERT INTO vessels_feedgap (feed_id, reason, start, "end") VALUES (%s, %s, %s, %s)
                   ON CONFLICT DO NOTHING""",
                [feed, "downtime" if gap.downtime else "silent", time_text(gap.start), time_text(gap.end)],
            )


def _write_rejections(cursor: CursorWrapper, rejected: dict[int, dict[str, Rejected]], now: int) -> None:
    for feed, kinds in rejected.items():
        for kind, found in kinds.items():
            sample = found.sample.replace("\x00", "\ufffd")
            cursor.execute(
                """INSERT INTO vessels_feedrejection AS r (feed_id, kind, count, sample, last_at)
                   VALUES (%s, %s, %s, %s, %s) ON CONFLICT (feed_id, kind) DO UPDATE
                   SET count = r.count + EXCLUDED.count, sample = EXCLUDED.sample, last_at = EXCLUDED.last_at""",
                [feed, kind[:64], found.count, sample, time_text(now)],
            )


def one_transaction() -> Any:
    return transaction.atomic(durable=True)
