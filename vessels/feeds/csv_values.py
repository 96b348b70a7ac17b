"""Values of CSV cells: numbers, times, and the words that the Danish Maritime Authority writes for codes."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final

from vessels.feeds.sentences import MAX_TIME, MILLISECONDS_FROM

NOT_SAID: Final = frozenset({"", "unknown", "unknown value", "undefined", "n/a", "null", "none", "nan"})

# ITU-R M.1371-5, table 45: navigational status
STATUS_OF_WORDS: Final = {
    "under way using engine": 0,
    "at anchor": 1,
    "not under command": 2,
    "restricted maneuverability": 3,
    "restricted manoeuvrability": 3,
    "constrained by her draught": 4,
    "moored": 5,
    "aground": 6,
    "engaged in fishing": 7,
    "under way sailing": 8,
    "reserved for future amendment [hsc]": 9,
    "reserved for future amendment of navigational status for hsc": 9,
    "reserved for future amendment [wig]": 10,
    "reserved for future amendment of navigational status for wig": 10,
    "power-driven vessel towing astern": 11,
    "power-driven vessel pushing ahead or towing alongside": 12,
    "reserved for future use": 13,
    "reserved for future use [13]": 13,
    "ais-sart": 14,
    "ais-sart (active)": 14,
    "undefined": -1,
}

# ITU-R M.1371-5, table 53: type of ship. Where a word covers ten types, the first.
SHIP_TYPE_OF_WORDS: Final = {
    "wig": 20,
    "fishing": 30,
    "towing": 31,
    "towing long/wide": 32,
    "dredging": 33,
    "diving": 34,
    "military": 35,
    "sailing": 36,
    "pleasure": 37,
    "hsc": 40,
    "pilot": 50,
    "sar": 51,
    "tug": 52,
    "port tender": 53,
    "anti-pollution": 54,
    "law enforcement": 55,
    "spare 1": 56,
    "spare 2": 57,
    "medical": 58,
    "ships not party to conflict": 59,
    "not party to conflict": 59,
    "passenger": 60,
    "cargo": 70,
    "tanker": 80,
    "other": 90,
}

# The Danish files' "Type of mobile", and what stations other than vessels are called there.
CLASS_OF_WORDS: Final = {"a": b"A", "class a": b"A", "b": b"B", "class b": b"B"}
STATION_OF_WORDS: Final = {
    "base station": "base_station",
    "aton": "aid_to_navigation",
    "aid to navigation": "aid_to_navigation",
    "sar airborne": "sar_aircraft",
    "sar aircraft": "sar_aircraft",
    "search and rescue transponder": "sart",
    "sart": "sart",
    "man overboard device": "man_overboard",
    "epirb": "epirb",
}

LAST_MMSI: Final = (1 << 30) - 1
_IMO: Final = re.compile(r"(?:IMO)?\s*(\d{7})", re.IGNORECASE)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def said(text: str) -> str | None:
    """The text, or None where it is one of the ways of saying nothing."""
    return None if text.strip().lower() in NOT_SAID else text.strip()


def number(text: str) -> float:
    """The number; NaN for an empty, unknown or unreadable one."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def whole_metres(text: str) -> int | None:
    """A length in metres; None for 0 and for nothing."""
    value = number(text)
    return round(value) or None if 0 < value < 1_000 else None


def status_number(text: str) -> int:
    """Navigational status as a number or in words; -1 when not available."""
    text = text.strip().lower()
    if text.endswith(".0"):
        text = text[:-2]
    if text.isascii() and text.isdigit() and len(text) < 3:
        value = int(text)
        return value if value < 15 else -1
    return STATUS_OF_WORDS.get(text, -1)


def ship_type(text: str) -> int | None:
    """Type of ship as a number or in words; None when not said."""
    value = number(text)
    if value == value:
        return int(value) if 1 <= value <= 99 else None
    return SHIP_TYPE_OF_WORDS.get(text.strip().lower())


def imo_number(text: str) -> int | None:
    """`IMO8207721` or `8207721` as a number."""
    match = _IMO.fullmatch(text.strip())
    return int(match.group(1)) if match else None


def mmsi_number(text: str) -> int | None:
    """An MMSI (7 digits or more: leading zeros get lost in files) or a file's own ship number.

    The radio's field has 30 bits; some transmit a number of ten digits, of no country.
    """
    text = text.strip()
    if text.endswith(".0"):
        text = text[:-2]
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    value = int(text)
    return value if value <= LAST_MMSI else None


def microseconds(text: str, time_format: str | None) -> int | None:
    """The time as µs since 1970, UTC unless it says another zone; None where it cannot be read.

    Without a format: ISO 8601, or a number of seconds or milliseconds since 1970.
    """
    text = text.strip()
    try:
        moment = datetime.strptime(text, time_format) if time_format else _moment(text)  # noqa: DTZ007 - zone below
    except (ValueError, OverflowError):
        return None
    micros = moment if isinstance(moment, int) else _micros_of(moment)
    return micros if 0 < micros <= MAX_TIME else None


def _micros_of(moment: datetime) -> int:
    delta = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _moment(text: str) -> datetime | int:
    # 8 digits are a date of the basic ISO form, as 20220103
    if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) > 8:
        value = float(text)
        return round(value * (1_000 if value >= MILLISECONDS_FROM else 1_000_000))
    if text.endswith(" UTC"):
        text = text[:-4]
    return datetime.fromisoformat(text)
