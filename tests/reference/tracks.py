"""Tracks made up for tests, as NMEA 4.10 text: nothing is stored, everything is encoded when a test runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyais

from tests.reference.reports import EPOCH

START = datetime(2025, 1, 1, tzinfo=UTC)
MMSI = 512000001


def at(minutes: float) -> datetime:
    """A moment so many minutes after the tracks' start."""
    return START + timedelta(minutes=minutes)


def tagged(sentences: Iterable[str], when: datetime) -> list[str]:
    """The sentences with a tag block of the time in milliseconds."""
    block = f"c:{(when - EPOCH) // timedelta(milliseconds=1)}"
    return [f"\\{block}*{checksum(block)}\\{sentence}" for sentence in sentences]


def checksum(body: str) -> str:
    total = 0
    for character in body:
        total ^= ord(character)
    return f"{total:02X}"


def encoded(**fields: Any) -> list[str]:
    return [str(sentence) for sentence in pyais.encode_dict(fields, talker_id="AI", sentence_type="VDM")]


def position(
    minutes: float, lon: float, lat: float, *, mmsi: int = MMSI, msg_type: int = 1, **fields: Any
) -> list[str]:
    """A position report heard so many minutes after the start."""
    second = round(minutes * 60) % 60
    values: dict[str, Any] = {"speed": 10.0, "course": 90.0, "second": second} | fields
    return tagged(encoded(msg_type=msg_type, mmsi=mmsi, lon=lon, lat=lat, **values), at(minutes))


def static(minutes: float, *, mmsi: int = MMSI) -> list[str]:
    """A message of type 5: the vessel is heard and has no position."""
    return tagged(encoded(msg_type=5, mmsi=mmsi, shipname="ENDEAVOUR"), at(minutes))


def text(*messages: list[str]) -> str:
    return "".join(line + "\n" for message in messages for line in message)


def line_of_positions(
    places: Iterable[tuple[float, float]], *, every: float, mmsi: int = MMSI, start: float = 0.0
) -> list[list[str]]:
    """One position after another, `every` minutes apart."""
    return [position(start + index * every, lon, lat, mmsi=mmsi) for index, (lon, lat) in enumerate(places)]


def steps(start: tuple[float, float], end: tuple[float, float], count: int) -> list[tuple[float, float]]:
    """`count` steps between two places; longitudes may run past ±180 and are turned back into it."""
    places = []
    for index in range(count + 1):
        share = index / count
        lon = start[0] + (end[0] - start[0]) * share
        lat = start[1] + (end[1] - start[1]) * share
        places.append(((lon + 180) % 360 - 180, lat))
    return places
