"""The product's sentences, word for word."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerting.rendering.facts import Alert, Kind, Reader, Severity, Vessel
from alerting.rendering.sentences import is_unwitnessed, sentence, subject
from tests.alerting.rendering.samples import AUCKLAND, DAY_LATER, MIDNIGHT, alert, missing, resumed

HOURS = timedelta(hours=1)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (alert(), "Vessel Endeavour has entered area New Zealand 400 nmi at 01/01/2025 00:00 NZDT"),
        (
            alert(Kind.EXITED, occurred_at=DAY_LATER, not_before=DAY_LATER - HOURS, not_after=DAY_LATER),
            "Vessel Endeavour has exited area New Zealand 400 nmi at 02/01/2025 00:00 NZDT",
        ),
        (
            missing(),
            (
                "Vessel Endeavour has stopped reporting AIS within area New Zealand 400 nmi "
                "from 02/01/2025 00:00 NZDT for over 6 hours"
            ),
        ),
        (
            alert(Kind.APPEARED),
            "Vessel Endeavour was heard for the first time, inside area New Zealand 400 nmi, at 01/01/2025 00:00 NZDT",
        ),
        (
            resumed(),
            (
                "Vessel Endeavour has resumed reporting AIS within area New Zealand 400 nmi "
                "at 02/01/2025 09:15 NZDT after 9 hours 15 minutes of silence"
            ),
        ),
        (
            resumed(inside=False),
            (
                "Vessel Endeavour has resumed reporting AIS outside area New Zealand 400 nmi "
                "at 02/01/2025 09:15 NZDT after 9 hours 15 minutes of silence"
            ),
        ),
        (
            alert(not_before=MIDNIGHT - 5 * HOURS),
            (
                "Vessel Endeavour has crossed into area New Zealand 400 nmi: "
                "last heard outside at 31/12/2024 19:00 NZDT, next heard inside at 01/01/2025 00:00 NZDT"
            ),
        ),
        (
            alert(Kind.EXITED, not_before=MIDNIGHT - 5 * HOURS),
            (
                "Vessel Endeavour has crossed out of area New Zealand 400 nmi: "
                "last heard inside at 31/12/2024 19:00 NZDT, next heard outside at 01/01/2025 00:00 NZDT"
            ),
        ),
    ],
)
def test_each_kind_of_event_has_its_sentence(told: Alert, expected: str) -> None:
    assert sentence(told, AUCKLAND) == expected


@pytest.mark.parametrize("name", [None, "", "   ", "@@@@", "\x00", "\u202e"])
def test_a_vessel_without_a_name_is_named_by_its_mmsi(name: str | None) -> None:
    told = alert(vessel=Vessel(mmsi=512345678, name=name))

    assert sentence(told, AUCKLAND).startswith("Vessel MMSI 512345678 has entered area ")
    assert subject(told) == "MMSI 512345678 entered New Zealand 400 nmi"


def test_an_mmsi_is_written_with_nine_digits() -> None:
    told = alert(vessel=Vessel(mmsi=1234567))

    assert sentence(told, AUCKLAND).startswith("Vessel MMSI 001234567 has")


def test_a_crossing_is_witnessed_up_to_an_hour_and_not_beyond() -> None:
    assert not is_unwitnessed(alert(not_before=MIDNIGHT - HOURS))
    assert is_unwitnessed(alert(not_before=MIDNIGHT - HOURS - timedelta(seconds=1)))


def test_an_unwitnessed_crossing_is_never_told_as_entered_at() -> None:
    told = alert(not_before=MIDNIGHT - 5 * HOURS)

    assert "entered" not in sentence(told, AUCKLAND)
    assert subject(told) == "Endeavour now heard inside New Zealand 400 nmi"


def test_a_critical_alert_says_so_in_its_subject() -> None:
    assert subject(missing(severity=Severity.CRITICAL)) == (
        "Critical: Endeavour stopped reporting AIS within New Zealand 400 nmi"
    )


def test_the_readers_zone_and_format_are_used() -> None:
    reader = Reader(time_zone="Pacific/Chatham", date_format="d Mon yyyy")  # type: ignore[arg-type]

    assert sentence(alert(), reader).endswith(" at 1 Jan 2025 00:45 UTC+13:45")


def test_a_missing_without_its_times_claims_neither() -> None:
    told = missing(gap_start=None, duration=None)

    assert sentence(told, AUCKLAND) == "Vessel Endeavour has stopped reporting AIS within area New Zealand 400 nmi"
