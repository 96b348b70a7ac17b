"""Vessels' states and memberships in the database: how a watch goes on as if it had never stopped.

A scope's states are the whole truth; its memberships follow from the last positions and the areas, and stand in
the database so that pages can ask who is inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from django.db.backends.utils import CursorWrapper

from vessels.reports import REPORT
from vessels.watch.clock import FeedClock
from vessels.watch.copying import interval_text, time_text, upsert_rows
from vessels.watch.state import UNHEARD, Report, Silence, Vessels

_STATE = (
    "scope_id",
    "mmsi",
    "time",
    "lon",
    "lat",
    "speed",
    "course",
    "heading",
    "status",
    "vessel_class",
    "received_at",
    "feed_id",
    "heard_at",
    "heard_feed_id",
    "heard_alive",
    "suspect",
    "gaps",
)
_REPLACE = ", ".join(f"{name} = EXCLUDED.{name}" for name in _STATE[2:])
# A run over old files must not move a vessel back, unless nothing was known of where it is.
_WHERE_NEWER = "WHERE vessels_vesselstate.heard_at <= EXCLUDED.heard_at OR vessels_vesselstate.time IS NULL"
_MICROSECONDS = "(EXTRACT(EPOCH FROM {0}) * 1000000)::bigint"


def load_vessels(cursor: CursorWrapper, scope: int) -> Vessels:
    """A scope's vessels with their memberships' times."""
    vessels = Vessels()
    cursor.execute(
        f"""SELECT mmsi, {_MICROSECONDS.format("time")}, lon, lat, speed, course, heading, status, vessel_class,
                   {_MICROSECONDS.format("received_at")}, feed_id, {_MICROSECONDS.format("heard_at")},
                   heard_feed_id, suspect::text, gaps::text
            FROM vessels_vesselstate WHERE scope_id = %s ORDER BY mmsi""",  # noqa: S608
        [scope],
    )
    states = cursor.fetchall()
    slots = vessels.slots_of(np.array([state[0] for state in states], dtype=np.int64)) if states else ()
    for slot, state in zip(slots, states, strict=True):
        _restore(vessels, int(slot), state)
    cursor.execute(
        f"SELECT mmsi, area_id, {_MICROSECONDS.format('since')} FROM vessels_membership WHERE scope_id = %s",  # noqa: S608
        [scope],
    )
    for mmsi, area, since in cursor.fetchall():
        if mmsi in vessels.slots:
            vessels.inside.setdefault(vessels.slots[mmsi], {})[area] = since
    return vessels


def save_vessels(
    cursor: CursorWrapper,
    scope: int,
    vessels: Vessels,
    slots: Iterable[int],
    clocks: dict[int, FeedClock],
    versions: dict[int, int],
    *,
    only_newer: bool = False,
) -> None:
    """Write the states and memberships of these slots; with `only_newer`, of those that move forward."""
    heard = [slot for slot in sorted(slots) if vessels.heard[slot] > UNHEARD]
    if not heard:
        return
    saved = upsert_rows(
        cursor,
        "vessels_vesselstate",
        _STATE,
        [_state(scope, vessels, slot, clocks) for slot in heard],
        f"ON CONFLICT (scope_id, mmsi) DO UPDATE SET {_REPLACE} {_WHERE_NEWER if only_newer else ''} RETURNING mmsi",
    )
    moved = {vessels.slots[mmsi] for (mmsi,) in saved}
    _save_memberships(cursor, scope, vessels, sorted(moved), versions)


def _save_memberships(
    cursor: CursorWrapper, scope: int, vessels: Vessels, slots: Sequence[int], versions: dict[int, int]
) -> None:
    """Only what changed is written: most reports leave their vessel where it was."""
    mmsis = [vessels.mmsi[slot] for slot in slots]
    cursor.execute(
        "SELECT mmsi, area_id, area_version FROM vessels_membership WHERE scope_id = %s AND mmsi = ANY(%s)",
        [scope, mmsis],
    )
    stored = set(cursor.fetchall())
    rows = [
        (scope, vessels.mmsi[slot], area, versions[area], time_text(since))
        for slot in slots
        for area, since in vessels.inside.get(slot, {}).items()
    ]
    wanted = {(mmsi, area, version) for _, mmsi, area, version, _ in rows}
    gone = [(mmsi, area) for mmsi, area, version in stored - wanted]
    if gone:
        cursor.execute(
            """DELETE FROM vessels_membership m USING unnest(%s::bigint[], %s::bigint[]) AS gone (mmsi, area_id)
               WHERE m.scope_id = %s AND m.mmsi = gone.mmsi AND m.area_id = gone.area_id""",
            [[mmsi for mmsi, _ in gone], [area for _, area in gone], scope],
        )
    fresh = [row for row in rows if (row[1], row[2], row[3]) not in stored]
    if fresh:
        columns = ("scope_id", "mmsi", "area_id", "area_version", "since")
        upsert_rows(cursor, "vessels_membership", columns, fresh, "ON CONFLICT DO NOTHING")


def take_over(cursor: CursorWrapper, *, live: int, run: int, mmsis: Sequence[int], first: str) -> None:
    """Give a new bounded run its vessels as they were just before its first report.

    A vessel whose live state is wholly earlier comes with it. Of one that was heard since, only the last position
    before that time is known, from the log. Others start unknown.
    """
    names = ", ".join(_STATE[1:])
    cursor.execute(
        f"""INSERT INTO vessels_vesselstate (scope_id, {names})
            SELECT %(run)s, {names} FROM vessels_vesselstate
            WHERE scope_id = %(live)s AND mmsi = ANY(%(mmsis)s) AND heard_at < %(first)s
              AND (time IS NULL OR time < %(first)s)""",  # noqa: S608
        {"run": run, "live": live, "mmsis": list(mmsis), "first": first},
    )
    cursor.execute(
        """INSERT INTO vessels_vesselstate (scope_id, mmsi, time, lon, lat, speed, course, heading, status,
               vessel_class, received_at, feed_id, heard_at, heard_feed_id, heard_alive, gaps)
           SELECT %(run)s, p.mmsi, p.time, p.lon, p.lat, p.speed, p.course, p.heading, p.status,
                  p.vessel_class, p.received_at, p.feed_id, p.time, p.feed_id, interval '0', '{}'
           FROM vessels_vesselstate s CROSS JOIN LATERAL (
               SELECT * FROM vessels_position p
               WHERE p.mmsi = s.mmsi AND p.time < %(first)s AND NOT p.late
               ORDER BY p.time DESC, p.id DESC LIMIT 1) p
           WHERE s.scope_id = %(live)s AND s.mmsi = ANY(%(mmsis)s)
           ON CONFLICT (scope_id, mmsi) DO NOTHING""",
        {"run": run, "live": live, "mmsis": list(mmsis), "first": first},
    )


# One vessel to a row and back


def _state(scope: int, vessels: Vessels, slot: int, clocks: dict[int, FeedClock]) -> tuple[Any, ...]:
    row = vessels.last[slot]
    known = row["mmsi"] != 0
    heard, feed = int(vessels.heard[slot]), int(vessels.heard_feed[slot])
    suspect = vessels.suspects.get(slot)
    return (
        scope,
        vessels.mmsi[slot],
        time_text(int(row["time"])) if known else None,
        float(row["lon"]) if known else None,
        float(row["lat"]) if known else None,
        *(round(float(row[name]), 1) if known else None for name in ("speed", "course", "heading")),
        int(row["status"]) if known and row["status"] >= 0 else None,
        row["vessel_class"].decode(),
        time_text(int(row["received_at"])) if known else None,
        int(row["feed"]) if known else None,
        time_text(heard),
        feed,
        interval_text(clocks[feed].alive_at(heard)),
        _suspect_to_json(suspect) if suspect else None,
        _gaps_to_json(vessels, slot),
    )


def _restore(vessels: Vessels, slot: int, state: tuple[Any, ...]) -> None:
    mmsi, time, lon, lat, speed, course, heading, status, vessel_class, received, feed = state[:11]
    heard, heard_feed, suspect, gaps = state[11:]
    vessels.heard[slot], vessels.heard_feed[slot] = heard, heard_feed
    if time is not None:
        row = vessels.last[slot]
        row["mmsi"], row["time"], row["received_at"], row["feed"] = mmsi, time, received, feed
        row["lon"], row["lat"], row["vessel_class"] = lon, lat, vessel_class.encode()
        row["status"] = -1 if status is None else status
        for name, value in (("speed", speed), ("course", course), ("heading", heading)):
            row[name] = np.nan if value is None else value
    if suspect is not None:
        vessels.suspects[slot] = _suspect_from_json(json.loads(suspect))
    _restore_gaps(vessels, slot, json.loads(gaps))


def _gaps_to_json(vessels: Vessels, slot: int) -> dict[str, Any]:
    silence = vessels.silences.get(slot)
    ties = int(vessels.ties[slot])
    stored: dict[str, Any] = {"ties": ties} if ties else {}
    if silence:
        stored["raised"] = sorted(silence.raised)
        stored["unresumed"] = {str(area): gaps for area, gaps in silence.unresumed.items()}
    return stored


def _restore_gaps(vessels: Vessels, slot: int, stored: dict[str, Any]) -> None:
    vessels.ties[slot] = stored.get("ties", 0)
    raised = {(area, duration) for area, duration in stored.get("raised", [])}
    unresumed = {int(area): list(gaps) for area, gaps in stored.get("unresumed", {}).items()}
    if raised or unresumed:
        vessels.silences[slot] = Silence(raised, unresumed)


def _suspect_to_json(suspect: Report) -> dict[str, Any]:
    row = {
        name: value.decode() if isinstance(value, bytes) else (None if value != value else value)
        for name, value in zip(REPORT.names or (), suspect.row.item(), strict=True)
    }
    row["payload"] = 0  # of no use any more, and larger than JSON's numbers are safe
    return {"row": row, "station": suspect.station, "raw": suspect.raw}


def _suspect_from_json(stored: dict[str, Any]) -> Report:
    values = stored["row"] | {"vessel_class": stored["row"]["vessel_class"].encode()}
    cells = tuple(np.nan if values[name] is None else values[name] for name in REPORT.names or ())
    return Report(np.array([cells], dtype=REPORT)[0], stored["station"], stored["raw"])
