"""Vessels, their static data joined over time, and their identity history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from vessels.identities import record_statics
from vessels.models import Vessel, VesselIdentity
from vessels.reports import ReportArray, StaticReport, empty_rows

pytestmark = pytest.mark.django_db

START = datetime(2024, 1, 1, tzinfo=UTC)
AURORA = 219000001


def micros(minute: float) -> int:
    return int((START + timedelta(minutes=minute)).timestamp() * 1_000_000)


def heard(*hearings: tuple[int, float], vessel_class: bytes = b"A") -> ReportArray:
    rows = empty_rows(len(hearings))
    for row, (mmsi, minute) in zip(rows, hearings, strict=True):
        row["mmsi"], row["time"], row["vessel_class"] = mmsi, micros(minute), vessel_class
    return rows


def say(minute: float, mmsi: int = AURORA, **said: Any) -> None:
    record(StaticReport(row=0, time=micros(minute), mmsi=mmsi, **said))


def record(*statics: StaticReport) -> None:
    rows = heard(*[(s.mmsi, (s.time - micros(0)) / 60e6) for s in statics])
    with transaction.atomic():
        record_statics(rows=rows, statics=statics)


def vessel(mmsi: int = AURORA) -> Vessel:
    return Vessel.objects.get(mmsi=mmsi)


def history(mmsi: int = AURORA) -> list[tuple[str, str, int | None, float, float | None]]:
    """Name, call sign, IMO and the minutes from which and to which each identity held."""
    identities = VesselIdentity.objects.filter(vessel__mmsi=mmsi).order_by("valid_from")
    return [
        (i.name, i.call_sign, i.imo, minute_of(i.valid_from), None if i.valid_to is None else minute_of(i.valid_to))
        for i in identities
    ]


def minute_of(moment: datetime) -> float:
    return (moment - START).total_seconds() / 60


def test_every_mmsi_that_is_heard_gets_a_vessel() -> None:
    record_statics(rows=heard((AURORA, 5), (512000001, 3), (AURORA, 2), (256, 1)), statics=[])

    assert vessel().flag == "DK"
    assert vessel().vessel_class == "A"
    assert vessel().first_heard_at == START + timedelta(minutes=2)
    assert vessel(256).flag == ""
    assert Vessel.objects.count() == 3
    assert VesselIdentity.objects.count() == 0


def test_a_vessel_that_is_known_stays_as_it_is() -> None:
    record_statics(rows=heard((AURORA, 1)), statics=[])

    record_statics(rows=heard((AURORA, 9)), statics=[])

    assert vessel().first_heard_at == START + timedelta(minutes=1)


def test_a_class_is_learnt_when_it_is_first_said() -> None:
    record_statics(rows=heard((AURORA, 1), vessel_class=b""), statics=[])

    record_statics(rows=heard((AURORA, 2), vessel_class=b"B"), statics=[])

    assert vessel().vessel_class == "B"


def test_no_rows_are_no_work() -> None:
    record_statics(rows=heard(), statics=[])

    assert Vessel.objects.count() == 0


def test_a_static_report_fills_the_vessel_and_opens_its_identity() -> None:
    say(1, name="AURORA", call_sign="OXYZ", imo=9007128, ship_type=60, length_m=111, beam_m=17)

    known = vessel()
    assert (known.name, known.call_sign, known.imo) == ("AURORA", "OXYZ", 9007128)
    assert (known.ship_type, known.length_m, known.beam_m) == (60, 111, 17)
    assert known.static_at == START + timedelta(minutes=1)
    assert history() == [("AURORA", "OXYZ", 9007128, 1, None)]


def test_parts_said_at_different_times_are_one_identity() -> None:
    say(1, name="SKIFF")
    say(2, call_sign="XPB12", ship_type=37)

    assert history() == [("SKIFF", "XPB12", None, 1, None)]


def test_a_new_name_ends_the_identity_and_opens_the_next() -> None:
    say(1, name="AURORA", call_sign="OXYZ")
    say(5, name="BOREALIS")

    assert vessel().name == "BOREALIS"
    assert history() == [("AURORA", "OXYZ", None, 1, 5), ("BOREALIS", "OXYZ", None, 5, None)]


def test_changes_within_one_batch_are_told_in_the_order_of_time() -> None:
    record(
        StaticReport(row=0, time=micros(9), mmsi=AURORA, name="C"),
        StaticReport(row=1, time=micros(1), mmsi=AURORA, name="A"),
        StaticReport(row=2, time=micros(5), mmsi=AURORA, name="B"),
    )

    assert history() == [("A", "", None, 1, 5), ("B", "", None, 5, 9), ("C", "", None, 9, None)]


def test_an_older_report_never_overrides_a_newer_one() -> None:
    say(5, name="NEW", ship_type=70)
    say(1, name="OLD", ship_type=60, imo=9007128)

    assert (vessel().name, vessel().ship_type) == ("NEW", 70)
    assert vessel().imo == 9007128  # nothing newer said otherwise
    assert vessel().static_at == START + timedelta(minutes=5)
    assert history() == [("NEW", "", 9007128, 5, None)]


def test_reading_the_same_again_changes_nothing() -> None:
    reports = [
        StaticReport(row=0, time=micros(1), mmsi=AURORA, name="A", call_sign="OXYZ"),
        StaticReport(row=1, time=micros(5), mmsi=AURORA, name="B"),
    ]
    record(*reports)
    before = history()

    record(*reports)

    assert history() == before


def test_two_names_at_the_same_time_do_not_make_an_empty_period() -> None:
    say(1, name="A")
    say(1, name="B")

    assert history() == [("B", "", None, 1, None)]


def test_a_change_of_size_is_no_change_of_identity() -> None:
    say(1, name="AURORA", length_m=100)
    say(2, length_m=111)

    assert vessel().length_m == 111
    assert history() == [("AURORA", "", None, 1, None)]


def test_a_hostile_name_is_only_a_name() -> None:
    name = "'); DROP TABLE--{}%s\\"

    say(1, name=name)

    assert vessel().name == name


def test_a_large_batch_needs_a_handful_of_queries() -> None:
    mmsis = range(219000000, 219003000)
    statics = [StaticReport(row=i, time=micros(1), mmsi=m, name=f"SHIP {m}") for i, m in enumerate(mmsis)]

    with CaptureQueriesContext(connection) as queries:
        record_statics(rows=heard(*[(m, 1) for m in mmsis]), statics=statics)

    assert len(queries) <= 12
    assert Vessel.objects.filter(name__startswith="SHIP").count() == 3_000
    assert VesselIdentity.objects.count() == 3_000
