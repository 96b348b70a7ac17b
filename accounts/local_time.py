"""The user's time: IANA zones, date formats, the next local occurrence, and durations in words.

Zones come from the pinned `tzdata` package, never from the machine: importing this module empties zoneinfo's search
path for the whole process (`zoneinfo.reset_tzpath(to=())`), so that every `ZoneInfo`, Django's too, reads the package.
Two machines with the same requirements therefore print the same times.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db.models import TextChoices

zoneinfo.reset_tzpath(to=())
ZoneInfo.clear_cache()  # what was read from the machine before this import


class DateFormat(TextChoices):
    """How a user writes dates; the time is always 24 hours."""

    DAY_MONTH_YEAR = "dd/mm/yyyy", "31/12/2025"
    MONTH_DAY_YEAR = "mm/dd/yyyy", "12/31/2025"
    ISO = "yyyy-mm-dd", "2025-12-31"
    DAY_NAME_YEAR = "d Mon yyyy", "31 Dec 2025"


# English names whatever the process's locale says.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class UnknownZone(ValueError):
    """The text is not the name of an IANA time zone."""


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """All names a user may choose, sorted. "Factory" (an unset clock) is no place."""
    return tuple(sorted(zoneinfo.available_timezones() - {"Factory"}))


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(zone_names())


class SpokenZone(ZoneInfo):
    """For times that Django writes, as in the admin: they say NZDT or UTC+13:45, never +1345.

    What is converted to it carries its offset under that name, so that Django names also the hour that happens twice.
    """

    def fromutc(self, dt: datetime, /) -> datetime:
        local = super().fromutc(dt)
        return local.replace(tzinfo=timezone(local.utcoffset() or timedelta(0), _abbreviation(local)), fold=0)


def zone(name: str) -> ZoneInfo:
    """The zone of that IANA name. Raises `UnknownZone`."""
    if name not in _known():
        raise UnknownZone(f"{name!r} is not an IANA time zone, such as Pacific/Auckland")
    return ZoneInfo(name)


def validate_zone(name: str) -> None:
    """For model fields and forms. Raises Django's `ValidationError`."""
    try:
        zone(name)
    except UnknownZone as fault:
        raise ValidationError(str(fault), code="unknown_zone") from fault


def offset(at: datetime, zone_name: str) -> str:
    """The offset in force at that instant: "UTC+13:45"."""
    return _offset_words(_local(at, zone_name))


def abbreviation(at: datetime, zone_name: str) -> str:
    """The letters in force at that instant ("NZDT"), or the offset where the zone has none ("UTC+13:45")."""
    return _abbreviation(_local(at, zone_name))


def local_date(at: datetime, zone_name: str) -> date:
    """The day that the zone's calendar shows at that instant."""
    return _local(at, zone_name).date()


def format_date(day: date, date_format: str) -> str:
    """A date in one of `DateFormat`. Raises `ValueError` for any other format."""
    match DateFormat(date_format):
        case DateFormat.DAY_MONTH_YEAR:
            return f"{day.day:02}/{day.month:02}/{day.year:04}"
        case DateFormat.MONTH_DAY_YEAR:
            return f"{day.month:02}/{day.day:02}/{day.year:04}"
        case DateFormat.ISO:
            return f"{day.year:04}-{day.month:02}-{day.day:02}"
        case DateFormat.DAY_NAME_YEAR:
            return f"{day.day} {_MONTHS[day.month - 1]} {day.year:04}"


def format_time(at: datetime, zone_name: str, date_format: str) -> str:
    """Date, time and abbreviation, for sentences: "01/01/2025 00:00 NZDT"."""
    local = _local(at, zone_name)
    return f"{format_date(local, date_format)} {_clock(local)} {_abbreviation(local)}"


def format_time_with_offset(at: datetime, zone_name: str, date_format: str, *, seconds: bool = False) -> str:
    """The same with the offset, for details: "01/01/2025 00:00 NZDT (UTC+13:00)"; said once where it is the same."""
    local = _local(at, zone_name)
    letters, from_utc = _abbreviation(local), _offset_words(local)
    named = from_utc if letters == from_utc else "UTC" if letters == "UTC" else f"{letters} ({from_utc})"
    clock = format_clock(at, zone_name) if seconds else _clock(local)
    return f"{format_date(local, date_format)} {clock} {named}"


def format_clock(at: datetime, zone_name: str) -> str:
    """The time of day alone, with seconds: "00:00:04"."""
    local = _local(at, zone_name)
    return f"{_clock(local)}:{local.second:02}"


def next_daily(after: datetime, zone_name: str, at: time) -> datetime:
    """The first instant, in UTC, strictly after `after` at which the clocks of the zone show `at`.

    A local time that does not exist that day moves forward by the gap; one that happens twice is the first.
    """
    return _next(after, zone_name, at, weekday=None)


def next_weekly(after: datetime, zone_name: str, weekday: int, at: time) -> datetime:
    """As `next_daily`, on one weekday (0 = Monday … 6 = Sunday)."""
    if not 0 <= weekday <= 6:
        raise ValueError(f"weekday {weekday} is not 0 (Monday) to 6 (Sunday)")
    return _next(after, zone_name, at, weekday=weekday)


def next_in_words(due: datetime, now: datetime, zone_name: str, date_format: str) -> str:
    """When something is next due, as its reader says it: "today 08:00 NZDT", "tomorrow …", "Monday …", or the date."""
    local = _local(due, zone_name)
    days = (local.date() - _local(now, zone_name).date()).days
    if days in (0, 1):
        day = ("today", "tomorrow")[days]
    elif 1 < days < 7:
        day = WEEKDAYS[local.weekday()]
    else:
        day = f"{WEEKDAYS[local.weekday()]} {format_date(local, date_format)}"
    return f"{day} {_clock(local)} {_abbreviation(local)}"


def duration_in_words(length: timedelta) -> str:
    """ "6 hours", "90 minutes", "1 day 2 hours": whole minutes, rounded down; seconds only below a minute.

    Raises `ValueError` for a negative length.
    """
    if length < timedelta(0):
        raise ValueError("a duration cannot be negative")
    if length < timedelta(minutes=1):
        return _counted(length.seconds, "second")
    minutes = length // timedelta(minutes=1)
    if 60 < minutes < 120:  # people say 90 minutes
        return _counted(minutes, "minute")
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "day"), (hours, "hour"), (minutes, "minute"))
    return " ".join(_counted(count, unit) for count, unit in parts if count)


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _local(at: datetime, zone_name: str) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a time without a zone cannot be shown: give an aware one")
    return at.astimezone(zone(zone_name))


def _clock(local: datetime) -> str:
    return f"{local.hour:02}:{local.minute:02}"


def _abbreviation(local: datetime) -> str:
    # Zones whose people use no letters carry the offset as their name ("+1345", "-03"; "-00" is unknown).
    letters = local.tzname() or ""
    return letters if letters.isalpha() else _offset_words(local)


def _offset_words(local: datetime) -> str:
    from_utc = local.utcoffset() or timedelta(0)
    hours, minutes = divmod(abs(from_utc) // timedelta(minutes=1), 60)
    return f"UTC{'-' if from_utc < timedelta(0) else '+'}{hours:02}:{minutes:02}"


def _next(after: datetime, zone_name: str, at: time, *, weekday: int | None) -> datetime:
    today = _local(after, zone_name).date()
    # From yesterday, because a gap can move a time past midnight; a week and a day ahead reach every weekday.
    days = (today + timedelta(days=shift) for shift in range(-1, 10))
    found = (_in_utc(day, at, zone_name) for day in days if weekday is None or day.weekday() == weekday)
    return min(instant for instant in found if instant > after)


def _in_utc(day: date, at: time, zone_name: str) -> datetime:
    # fold=0 is both rules at once: the first of two, and in a gap the offset before it, which moves the time forward.
    return datetime.combine(day, at.replace(tzinfo=None, fold=0), tzinfo=zone(zone_name)).astimezone(UTC)
