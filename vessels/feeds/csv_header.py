"""The first line of a CSV file: its delimiter, and which column is what.

Recognised by name: MarineCadastre (https://marinecadastre.gov/ais) and the Danish Maritime Authority
(https://web.ais.dk/aisdata), whose times are day-first. A source's options override by column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vessels.feeds.sources import REQUIRED_COLUMNS, CsvFile, SourceError

DANISH_TIME = "%d/%m/%Y %H:%M:%S"
DELIMITERS = (",", ";", "\t")

# Names as they are written in headers, in lower case without spaces, underscores and the like.
KNOWN_NAMES: Mapping[str, tuple[str, ...]] = {
    "mmsi": ("mmsi",),
    "time": ("basedatetime", "timestamp", "datetime", "time"),
    "lon": ("lon", "longitude", "long"),
    "lat": ("lat", "latitude"),
    "speed": ("sog", "speed"),
    "course": ("cog", "course"),
    "heading": ("heading", "trueheading"),
    "status": ("status", "navigationalstatus", "navstatus"),
    "class": ("transceiverclass", "transceiver", "typeofmobile"),
    "name": ("vesselname", "name", "shipname"),
    "imo": ("imo",),
    "call_sign": ("callsign",),
    "ship_type": ("vesseltype", "shiptype"),
    "length": ("length",),
    "width": ("width", "beam"),
    "draught": ("draught", "draft"),
    "destination": ("destination",),
}


@dataclass(frozen=True, slots=True)
class Header:
    """Where each of our columns stands in a row, and how its times are written (None: ISO 8601)."""

    delimiter: str
    index: Mapping[str, int]
    time_format: str | None


def read_header(source: CsvFile, line: str, *, time_needed: bool) -> Header:
    """Understand the header. Raises `SourceError` that names the columns present."""
    line = line.removeprefix("\ufeff").strip("\r\n")
    delimiter = source.delimiter or max(DELIMITERS, key=line.count)
    names = [name.strip().strip('"').strip() for name in line.split(delimiter)]
    index = _recognised(names)
    for ours, theirs in source.columns.items():
        index[ours] = _place_of(theirs, names, source, ours)
    missing = [c for c in REQUIRED_COLUMNS if c not in index and (c != "time" or time_needed)]
    if missing:
        raise SourceError(_what_is_missing(source, missing, names))
    danish = names[0].startswith("#") or "typeofmobile" in map(_plain, names)
    return Header(delimiter, index, source.time_format or (DANISH_TIME if danish else None))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _recognised(names: list[str]) -> dict[str, int]:
    plain = [_plain(name) for name in names]
    return {
        ours: plain.index(theirs)
        for ours, known in KNOWN_NAMES.items()
        if (theirs := next((k for k in known if k in plain), None)) is not None
    }


def _place_of(theirs: str, names: list[str], source: CsvFile, ours: str) -> int:
    if theirs in names:
        return names.index(theirs)
    folded = [name.casefold() for name in names]
    if theirs.casefold() in folded:
        return folded.index(theirs.casefold())
    raise SourceError(f"{source.path}: {ours}={theirs} names no column; the file has {', '.join(names)}")


def _what_is_missing(source: CsvFile, missing: list[str], names: list[str]) -> str:
    options = "&".join(f"{column}=COLUMN" for column in missing)
    return (
        f"{source.path}: no column for {', '.join(missing)}; the file has {', '.join(names)}. "
        f"Name them: csv+file:{source.path}?{options}"
    )
