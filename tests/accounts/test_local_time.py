"""Local time: what users read, and when their next digest is due."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from importlib import metadata
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from accounts.local_time import (
    DateFormat,
    UnknownZone,
    abbreviation,
    duration_in_words,
    format_clock,
    format_date,
    format_time,
    format_time_with_offset,
    next_daily,
    next_in_words,
    next_weekly,
    offset,
    validate_zone,
    zone,
    zone_names,
)

AUCKLAND, CHATHAM, LORD_HOWE = "Pacific/Auckland", "Pacific/Chatham", "Australia/Lord_Howe"
NEW_YORK, KATHMANDU, SAO_PAULO = "America/New_York", "Asia/Kathmandu", "America/Sao_Paulo"
ZONES = [AUCKLAND, CHATHAM, LORD_HOWE, NEW_YORK, KATHMANDU, SAO_PAULO, "Pacific/Apia", "Africa/Casablanca", "UTC"]
DMY = DateFormat.DAY_MONTH_YEAR


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_zones_come_from_the_package_and_never_from_the_machine() -> None:
    assert zoneinfo.TZPATH == ()
    assert metadata.version("tzdata")


def test_midnight_of_new_year_in_auckland_is_daylight_time() -> None:
    assert format_time(utc("2024-12-31 11:00"), AUCKLAND, DMY) == "01/01/2025 00:00 NZDT"


@pytest.mark.parametrize(
    ("at", "zone_name", "expected"),
    [
        ("2024-12-31 11:00", AUCKLAND, "01/01/2025 00:00 NZDT (UTC+13:00)"),
        ("2025-06-30 12:00", AUCKLAND, "01/07/2025 00:00 NZST (UTC+12:00)"),
        ("2024-12-31 10:15", CHATHAM, "01/01/2025 00:00 UTC+13:45"),
        ("2025-06-30 11:15", CHATHAM, "01/07/2025 00:00 UTC+12:45"),
        ("2024-12-31 13:00", LORD_HOWE, "01/01/2025 00:00 UTC+11:00"),
        ("2025-06-30 13:30", LORD_HOWE, "01/07/2025 00:00 UTC+10:30"),
        ("2025-01-01 05:00", NEW_YORK, "01/01/2025 00:00 EST (UTC-05:00)"),
        ("2025-07-01 04:00", NEW_YORK, "01/07/2025 00:00 EDT (UTC-04:00)"),
        ("2024-12-31 18:15", KATHMANDU, "01/01/2025 00:00 UTC+05:45"),
        ("2025-01-01 03:00", SAO_PAULO, "01/01/2025 00:00 UTC-03:00"),
        ("2025-01-01 00:00", "UTC", "01/01/2025 00:00 UTC"),
        ("2025-01-01 00:00", "Europe/London", "01/01/2025 00:00 GMT (UTC+00:00)"),
        # 02:30 on 5 April 2026 happens twice in Auckland; the letters tell which.
        ("2026-04-04 13:30", AUCKLAND, "05/04/2026 02:30 NZDT (UTC+13:00)"),
        ("2026-04-04 14:30", AUCKLAND, "05/04/2026 02:30 NZST (UTC+12:00)"),
        # The last and the first minute around the change.
        ("2025-09-27 13:59", AUCKLAND, "28/09/2025 01:59 NZST (UTC+12:00)"),
        ("2025-09-27 14:00", AUCKLAND, "28/09/2025 03:00 NZDT (UTC+13:00)"),
    ],
)
def test_a_time_is_shown_with_the_name_and_offset_in_force_at_that_instant(
    at: str, zone_name: str, expected: str
) -> None:
    assert format_time_with_offset(utc(at), zone_name, DMY) == expected


def test_a_zone_without_letters_prints_as_its_offset_in_sentences_too() -> None:
    assert format_time(utc("2024-12-31 10:15"), CHATHAM, DMY) == "01/01/2025 00:00 UTC+13:45"
    assert abbreviation(utc("2024-12-31 10:15"), CHATHAM) == "UTC+13:45"
    assert offset(utc("2024-12-31 11:00"), AUCKLAND) == "UTC+13:00"


@pytest.mark.parametrize(
    ("date_format", "expected"),
    [
        ("dd/mm/yyyy", "02/01/2025"),
        ("mm/dd/yyyy", "01/02/2025"),
        ("yyyy-mm-dd", "2025-01-02"),
        ("d Mon yyyy", "2 Jan 2025"),
    ],
)
def test_each_date_format_writes_the_second_of_january(date_format: str, expected: str) -> None:
    assert format_date(date(2025, 1, 2), date_format) == expected


def test_an_unknown_date_format_is_refused() -> None:
    with pytest.raises(ValueError, match="yy/m/d"):
        format_date(date(2025, 1, 2), "yy/m/d")


def test_seconds_are_shown_where_asked_for() -> None:
    at = utc("2024-12-31 11:00:04")

    assert format_time_with_offset(at, AUCKLAND, DMY, seconds=True) == "01/01/2025 00:00:04 NZDT (UTC+13:00)"
    assert format_clock(at, AUCKLAND) == "00:00:04"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        format_time(datetime(2025, 1, 1), AUCKLAND, DMY)  # noqa: DTZ001


@pytest.mark.parametrize("name", ["", "Pacific/Atlantis", "NZDT", "../etc/passwd", "/etc/localtime", "Factory", "utc"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone(name)
    with pytest.raises(ValidationError):
        validate_zone(name)


def test_every_zone_that_is_offered_can_be_used() -> None:
    for name in zone_names():
        assert format_time(utc("2025-01-01 00:00"), name, DMY)


@pytest.mark.parametrize(
    ("zone_name", "after", "at", "expected"),
    [
        (AUCKLAND, "2025-01-01 00:00", "08:00", "2025-01-01 19:00"),
        (AUCKLAND, "2024-12-31 18:59", "08:00", "2024-12-31 19:00"),
        (AUCKLAND, "2024-12-31 19:00", "08:00", "2025-01-01 19:00"),  # strictly after
        # The night the clocks go forward: 02:30 does not exist and becomes 03:30 NZDT.
        (AUCKLAND, "2025-09-27 12:00", "02:30", "2025-09-27 14:30"),
        (AUCKLAND, "2025-09-27 14:30", "02:30", "2025-09-28 13:30"),
        # The night they go back: the first 02:30, NZDT; after it the next day's, not the second one.
        (AUCKLAND, "2026-04-04 12:00", "02:30", "2026-04-04 13:30"),
        (AUCKLAND, "2026-04-04 13:30", "02:30", "2026-04-05 14:30"),
        # A digest at 08:00 stays at 08:00 across both changes.
        (AUCKLAND, "2025-09-26 20:00", "08:00", "2025-09-27 19:00"),
        (AUCKLAND, "2026-04-03 19:00", "08:00", "2026-04-04 20:00"),
        (CHATHAM, "2025-09-27 13:00", "03:00", "2025-09-27 14:15"),  # 02:45 → 03:45; 03:00 becomes 04:00
        (CHATHAM, "2026-04-04 12:00", "03:00", "2026-04-04 13:15"),
        (LORD_HOWE, "2025-10-04 12:00", "02:15", "2025-10-04 15:45"),  # half an hour: 02:15 becomes 02:45
        (LORD_HOWE, "2026-04-04 12:00", "01:45", "2026-04-04 14:45"),
        (NEW_YORK, "2025-03-09 05:00", "02:30", "2025-03-09 07:30"),
        (NEW_YORK, "2025-11-02 04:00", "01:30", "2025-11-02 05:30"),
        (NEW_YORK, "2025-11-02 05:30", "01:30", "2025-11-03 06:30"),
        (KATHMANDU, "2025-01-01 00:00", "00:00", "2025-01-01 18:15"),
        # Samoa left out 30 December 2011 whole.
        ("Pacific/Apia", "2011-12-29 18:00", "08:00", "2011-12-30 18:00"),
    ],
)
def test_the_next_daily_time_is_right_across_changes_of_the_clock(
    zone_name: str, after: str, at: str, expected: str
) -> None:
    assert next_daily(utc(after), zone_name, time.fromisoformat(at)) == utc(expected)


@pytest.mark.parametrize(
    ("zone_name", "after", "weekday", "expected"),
    [
        (AUCKLAND, "2025-01-01 00:00", 0, "2025-01-05 18:30"),  # Monday 6 January 07:30 NZDT
        (AUCKLAND, "2025-01-05 18:30", 0, "2025-01-12 18:30"),
        (AUCKLAND, "2025-09-22 00:00", 0, "2025-09-28 18:30"),  # the first Monday of daylight time
        (AUCKLAND, "2026-03-30 00:00", 0, "2026-04-05 19:30"),  # the first Monday of standard time
        (CHATHAM, "2025-01-01 00:00", 2, "2025-01-07 17:45"),  # Wednesday: the 1st's 07:30 is gone
        (NEW_YORK, "2025-01-01 00:00", 2, "2025-01-01 12:30"),  # there the 1st has not begun
    ],
)
def test_the_next_weekly_time_falls_on_its_local_weekday(
    zone_name: str, after: str, weekday: int, expected: str
) -> None:
    assert next_weekly(utc(after), zone_name, weekday, time(7, 30)) == utc(expected)


def test_a_weekday_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="weekday 7"):
        next_weekly(utc("2025-01-01 00:00"), AUCKLAND, 7, time(7, 30))


instants = st.datetimes(min_value=datetime(2012, 1, 2), max_value=datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
clocks = st.builds(time, st.integers(0, 23), st.integers(0, 59))


@given(instants, st.sampled_from(ZONES), clocks)
def test_the_next_daily_time_is_after_now_within_25_hours_and_shows_the_clock_that_was_asked_for(
    after: datetime, zone_name: str, at: time
) -> None:
    due = next_daily(after, zone_name, at)

    assert timedelta(0) < due - after <= timedelta(hours=25)
    local = due.astimezone(ZoneInfo(zone_name))
    moved = local.replace(tzinfo=None) - datetime.combine(local.date(), at)
    exists = moved == timedelta(0)
    assert exists or _was_in_a_gap(due, moved, zone_name)
    assert local.fold == 0


def _was_in_a_gap(due: datetime, moved: timedelta, zone_name: str) -> bool:
    now, before = (at.astimezone(ZoneInfo(zone_name)).utcoffset() for at in (due, due - timedelta(hours=2)))
    assert now is not None
    assert before is not None
    return now - before == moved


@given(instants, st.sampled_from(ZONES), clocks, st.integers(0, 6))
def test_a_weekly_time_is_one_of_the_daily_times(after: datetime, zone_name: str, at: time, weekday: int) -> None:
    due = next_weekly(after, zone_name, weekday, at)

    assert timedelta(0) < due - after <= timedelta(days=7, hours=1)
    assert next_daily(due - timedelta(microseconds=1), zone_name, at) == due
    assert due.astimezone(ZoneInfo(zone_name)).weekday() == weekday


@pytest.mark.parametrize(
    ("due", "expected"),
    [
        ("2024-12-31 23:00", "today 12:00 NZDT"),
        ("2025-01-01 19:00", "tomorrow 08:00 NZDT"),
        ("2025-01-05 19:00", "Monday 08:00 NZDT"),
        ("2025-01-07 19:00", "Wednesday 08/01/2025 08:00 NZDT"),
        ("2025-06-30 20:00", "Tuesday 01/07/2025 08:00 NZST"),
    ],
)
def test_the_next_time_is_said_as_people_say_it(due: str, expected: str) -> None:
    now = utc("2024-12-31 20:00")  # Wednesday 1 January 09:00 in Auckland

    assert next_in_words(utc(due), now, AUCKLAND, DMY) == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(0), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=59), "59 seconds"),
        (timedelta(seconds=60), "1 minute"),
        (timedelta(minutes=59, seconds=59), "59 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(hours=6), "6 hours"),
        (timedelta(hours=9, minutes=15), "9 hours 15 minutes"),
        (timedelta(hours=24), "1 day"),
        (timedelta(hours=26), "1 day 2 hours"),
        (timedelta(hours=48), "2 days"),
        (timedelta(days=3, minutes=1), "3 days 1 minute"),
    ],
)
def test_a_duration_is_said_in_words(length: timedelta, expected: str) -> None:
    assert duration_in_words(length) == expected


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        duration_in_words(timedelta(seconds=-1))
