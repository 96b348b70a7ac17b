"""What a source is: `nmea+tcp://host:port`, `csv+file:PATH?mmsi=…` and the like, read into typed values.

    nmea+file:PATH           NMEA sentences in a file
    nmea+tcp://HOST:PORT     NMEA sentences from a server that we connect to
    nmea+udp://HOST:PORT     NMEA datagrams that we listen for
    csv+file:PATH[?OPTIONS]  rows with a header; OPTIONS map columns, see `COLUMN_OPTIONS`

A PATH that ends in `.gz` or `.zst` is decompressed on the way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

FORMS = "nmea+file:PATH, nmea+tcp://HOST:PORT, nmea+udp://HOST:PORT or csv+file:PATH[?OPTIONS]"

REQUIRED_COLUMNS = ("mmsi", "time", "lon", "lat")
COLUMN_OPTIONS = (
    *REQUIRED_COLUMNS,
    "speed",
    "course",
    "heading",
    "status",
    "class",
    "name",
    "imo",
    "call_sign",
    "ship_type",
    "length",
    "width",
    "draught",
    "destination",
)
CSV_OPTIONS = (*COLUMN_OPTIONS, "time_format", "delimiter")

_DELIMITERS = {",": ",", ";": ";", "\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";"}
# The escapes that stand for the characters of a time format. Others stay as typed: `%d` may be followed by a letter.
_TIME_FORMAT_ESCAPES = re.compile(r"%(25|20|2F|3A|2C|2E|2D|5F)", re.IGNORECASE)
_OPTIONS_BEGIN = re.compile(r"\?(?=[a-z_]+=)")


class SourceError(ValueError):
    """A source that cannot be used as it is written, with what would be right."""


@dataclass(frozen=True, slots=True)
class NmeaFile:
    """A file of NMEA sentences."""

    text: str
    path: Path


@dataclass(frozen=True, slots=True)
class NmeaTcp:
    """A server of NMEA sentences."""

    text: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class NmeaUdp:
    """A local address on which NMEA datagrams arrive."""

    text: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file of rows. `columns` maps our names (`COLUMN_OPTIONS`) to the file's own."""

    text: str
    path: Path
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    time_format: str | None = None
    delimiter: str | None = None


BoundedSource = NmeaFile | CsvFile
LiveSource = NmeaTcp | NmeaUdp
Source = BoundedSource | LiveSource


def is_bounded(source: Source) -> bool:
    """Whether the source has an end (a file), as against one that goes on (a socket)."""
    return isinstance(source, NmeaFile | CsvFile)


def parse_source(text: str) -> Source:
    """Read one source as it stands on the command line or in a feed's row. Raises `SourceError`."""
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise SourceError(f"{text!r} is no source: write {FORMS}")
    match scheme.lower():
        case "nmea+file":
            return NmeaFile(text, _path(text, rest))
        case "nmea+tcp":
            return NmeaTcp(text, *_address(text, rest))
        case "nmea+udp":
            return NmeaUdp(text, *_address(text, rest))
        case "csv+file":
            return _csv_file(text, rest)
    raise SourceError(f"{text!r}: {scheme!r} is no kind of source; write {FORMS}")


def _path(text: str, rest: str) -> Path:
    if not rest.strip("/ "):
        raise SourceError(f"{text!r} names no file: write a path after the colon")
    if rest.startswith("//"):
        rest = "/" + rest.lstrip("/")
    return Path(rest).expanduser()


def _address(text: str, rest: str) -> tuple[str, int]:
    host, colon, port = rest.removeprefix("//").rstrip("/").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not rest.startswith("//") or not colon or not host:
        raise SourceError(f"{text!r} needs a host and a port, as in nmea+tcp://127.0.0.1:10110")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise SourceError(f"{text!r}: port {port!r} is not a number from 1 to 65535")
    return host, int(port)


def _csv_file(text: str, rest: str) -> CsvFile:
    begin = _OPTIONS_BEGIN.search(rest)
    path = rest[: begin.start()] if begin else rest
    options = _options(text, rest[begin.end() :]) if begin else {}
    return CsvFile(
        text=text,
        path=_path(text, path),
        columns=MappingProxyType({name: options[name] for name in COLUMN_OPTIONS if name in options}),
        time_format=options.get("time_format"),
        delimiter=_delimiter(text, options.get("delimiter")),
    )


def _options(text: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if name not in CSV_OPTIONS:
            raise SourceError(f"{text!r}: unknown option {name!r}; allowed are {', '.join(CSV_OPTIONS)}")
        if not equals or not value:
            raise SourceError(f"{text!r}: option {name!r} has no value")
        if name in options:
            raise SourceError(f"{text!r}: option {name!r} is given twice")
        options[name] = _unescape_time_format(value) if name == "time_format" else unquote(value)
    return options


def _unescape_time_format(value: str) -> str:
    """A format as typed or escaped: `%d/%m/%Y %H:%M` and `%25d/%25m/%25Y%20%25H:%25M` are the same."""
    return _TIME_FORMAT_ESCAPES.sub(lambda escape: unquote(escape.group()), value)


def _delimiter(text: str, value: str | None) -> str | None:
    if value is None:
        return None
    if value not in _DELIMITERS:
        raise SourceError(f"{text!r}: delimiter {value!r} is none of comma, semicolon and tab")
    return _DELIMITERS[value]
