"""Vessels and what they call themselves: rows for new MMSIs, static data joined over time, identity history.

An identity is MMSI, IMO number, name, call sign and flag. Saying for the first time what was not known completes the
identity in force; saying something else ends it and opens the next. A report older than the newest one known
only fills what is not known yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from vessels.mid import flag_of
from vessels.models import Vessel, VesselIdentity
from vessels.reports import ReportArray, StaticReport

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IDENTITY = ("name", "call_sign", "imo")
_OTHERS = ("ship_type", "length_m", "beam_m")


def record_statics(*, rows: ReportArray, statics: Sequence[StaticReport]) -> None:
    """Bring vessels and identities up to date with a batch, inside the caller's transaction.

    Every MMSI of `rows` has a `Vessel` afterwards. A handful of queries, whatever the batch's size; rows are
    locked in the order of MMSIs, so that two watches do not block each other for ever.
    """
    heard = _heard(rows)
    known = _known_classes(list(heard))
    _create([h for mmsi, h in heard.items() if mmsi not in known])
    _learn_class([h for mmsi, h in heard.items() if h.vessel_class and known.get(mmsi) == ""])
    if statics:
        _join(statics)


def _known_classes(mmsis: list[int]) -> dict[int, str]:
    """The class of each vessel that has a row. One array: thousands of parameters cost more than the query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT mmsi, vessel_class FROM vessels_vessel WHERE mmsi = ANY(%s)", [mmsis])
        return dict(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class _Heard:
    mmsi: int
    first: datetime
    vessel_class: str


def _heard(rows: ReportArray) -> dict[int, _Heard]:
    """Each MMSI of the rows, in order, with its earliest time and the class that it was heard with."""
    order = np.lexsort((rows["time"], rows["mmsi"]))
    mmsis, starts = np.unique(rows["mmsi"][order], return_index=True)
    firsts = rows["time"][order][starts]
    classes = _classes(rows)
    return {
        mmsi: _Heard(mmsi, _datetime(first), classes.get(mmsi, ""))
        for mmsi, first in zip(mmsis.tolist(), firsts.tolist(), strict=True)
    }


def _classes(rows: ReportArray) -> dict[int, str]:
    said: NDArray[np.void] = rows[rows["vessel_class"] != b""]
    mmsis, firsts = np.unique(said["mmsi"], return_index=True)
    return {m: c.decode() for m, c in zip(mmsis.tolist(), said["vessel_class"][firsts].tolist(), strict=True)}


def _datetime(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _create(heard: list[_Heard]) -> None:
    """Insert vessels; another watch may have been first."""
    if not heard:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO vessels_vessel (mmsi, name, call_sign, flag, vessel_class, first_heard_at) "
            "SELECT mmsi, '', '', flag, class, first "
            "FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[]) AS heard (mmsi, flag, class, first) "
            "ORDER BY mmsi ON CONFLICT (mmsi) DO NOTHING",
            [
                [h.mmsi for h in heard],
                [flag_of(h.mmsi) or "" for h in heard],
                [h.vessel_class for h in heard],
                [h.first for h in heard],
            ],
        )


def _learn_class(heard: list[_Heard]) -> None:
    if not heard:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE vessels_vessel SET vessel_class = heard.class "
            "FROM unnest(%s::bigint[], %s::text[]) AS heard (mmsi, class) "
            "WHERE vessels_vessel.mmsi = heard.mmsi AND vessel_class = ''",
            [[h.mmsi for h in heard], [h.vessel_class for h in heard]],
        )


@dataclass(slots=True)
class _Changes:
    """What a batch of static reports changes, to be written in one go."""

    vessels: dict[int, Vessel]
    identities: dict[int, VesselIdentity]
    opened: list[VesselIdentity]
    changed: set[int]
    touched: dict[int, VesselIdentity]


def _join(statics: Sequence[StaticReport]) -> None:
    mmsis = {static.mmsi for static in statics}
    vessels = {v.mmsi: v for v in Vessel.objects.select_for_update(no_key=True).filter(mmsi__in=mmsis).order_by("mmsi")}
    open_ones = VesselIdentity.objects.filter(vessel__in=[v.pk for v in vessels.values()], valid_to__isnull=True)
    changes = _Changes(vessels, {i.vessel_id: i for i in open_ones}, [], set(), {})
    for static in sorted(statics, key=lambda s: s.time):
        vessel = vessels.get(static.mmsi)
        if vessel is not None:
            _apply(changes, vessel, static)
    _write_vessels([vessels[mmsi] for mmsi in sorted(changes.changed)])
    _write_identities(i for i in changes.touched.values() if i.pk is not None)
    VesselIdentity.objects.bulk_create(changes.opened, batch_size=2_000)


def _apply(changes: _Changes, vessel: Vessel, static: StaticReport) -> None:
    """Let one report change its vessel, and its identity where the report says who it is."""
    at = _datetime(static.time)
    newest = vessel.static_at is None or at >= vessel.static_at
    before = tuple(getattr(vessel, field) for field in _IDENTITY)
    changed = [
        field for field in (*_IDENTITY, *_OTHERS) if _learn(vessel, field, getattr(static, field), newest=newest)
    ]
    if newest and vessel.static_at != at:
        vessel.static_at = at
        changes.changed.add(vessel.mmsi)
    if changed:
        changes.changed.add(vessel.mmsi)
    current = changes.identities.get(vessel.pk)
    if current is None or any(field in _IDENTITY for field in changed):
        _identify(changes, vessel, current, before, at)


def _learn(vessel: Vessel, field: str, said: object, *, newest: bool) -> bool:
    """Take over a value that was said; an older report only fills what is empty."""
    known = getattr(vessel, field)
    if said is None or said == known or (not newest and known not in (None, "")):
        return False
    setattr(vessel, field, said)
    return True


def _identify(
    changes: _Changes, vessel: Vessel, current: VesselIdentity | None, before: tuple[object, ...], at: datetime
) -> None:
    """Complete the identity in force, or end it and open the next."""
    now = tuple(getattr(vessel, field) for field in _IDENTITY)
    if current is not None:
        completes = all(old in (None, "") or old == new for old, new in zip(before, now, strict=True))
        if completes or at <= current.valid_from:
            _fill(current, vessel)
            changes.touched[id(current)] = current
            return
        current.valid_to = at
        changes.touched[id(current)] = current
    elif not any(now):
        return  # it has said nothing of who it is
    opened = VesselIdentity(vessel=vessel, mmsi=vessel.mmsi, valid_from=at)
    _fill(opened, vessel)
    changes.opened.append(opened)
    changes.identities[vessel.pk] = opened


def _fill(identity: VesselIdentity, vessel: Vessel) -> None:
    identity.name, identity.call_sign, identity.imo = vessel.name, vessel.call_sign, vessel.imo
    identity.flag = vessel.flag


def _write_vessels(vessels: list[Vessel]) -> None:
    if not vessels:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE vessels_vessel v SET name = s.name, call_sign = s.call_sign, imo = s.imo, ship_type = s.ship_type, "
            "length_m = s.length_m, beam_m = s.beam_m, static_at = s.static_at "
            "FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::int[], %s::float8[], %s::float8[], "
            "%s::timestamptz[]) AS s (id, name, call_sign, imo, ship_type, length_m, beam_m, static_at) "
            "WHERE v.id = s.id",
            [
                *([getattr(v, field) for v in vessels] for field in ("pk", "name", "call_sign", "imo", "ship_type")),
                # read back as floats, said as whole metres: psycopg wants lists of one type
                *([_as_float(getattr(v, field)) for v in vessels] for field in ("length_m", "beam_m")),
                [v.static_at for v in vessels],
            ],
        )


def _as_float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _write_identities(identities: Iterable[VesselIdentity]) -> None:
    """Before the new ones are inserted: one identity in force per vessel is a unique index."""
    rows = list(identities)
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE vessels_vesselidentity i SET name = s.name, call_sign = s.call_sign, imo = s.imo, flag = s.flag, "
            "valid_to = s.valid_to FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::text[], "
            "%s::timestamptz[]) AS s (id, name, call_sign, imo, flag, valid_to) WHERE i.id = s.id",
            [[getattr(row, field) for row in rows] for field in ("pk", "name", "call_sign", "imo", "flag", "valid_to")],
        )
