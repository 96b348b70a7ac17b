"""Read AIS files into a list of reports, simply: lines, `csv` and `pyais.decode`.

Every report is a hearing of a vessel. Those with a place may become positions (evaluate.py decides).
Times are whole microseconds since the epoch, so that every sum and comparison is exact.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pyais
from pyais.exceptions import AISBaseException

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
POSITION_TYPES = {1, 2, 3, 18, 19, 27}
# The bit after the latitude (ITU-R M.1371-5): a shorter message has no place that could be trusted.
LATITUDE_ENDS = {1: 116, 2: 116, 3: 116, 18: 112, 19: 112, 27: 79}
MMSI_ENDS = 38
NOT_A_VESSEL = ("00", "111", "970", "972", "974", "979", "99")
# Above this a `c:` counts milliseconds: as seconds it would be the year 5138.
MILLISECONDS_ABOVE = 100_000_000_000


@dataclass(frozen=True)
class Report:
    """One hearing of one vessel by one feed; `place` is (longitude, latitude) or None.

    `bits` are the payload's bits of an NMEA message, None for a row of a file.
    """

    time: int
    mmsi: int
    feed: int
    place: tuple[float, float] | None
    bits: str | None


@dataclass(frozen=True)
class Columns:
    """Which column of a CSV file says what. Without a format times are ISO 8601."""

    mmsi: str
    time: str
    lon: str
    lat: str
    time_format: str | None = None


@dataclass(frozen=True)
class Source:
    """A file and, for CSV with unknown headings, its columns."""

    path: Path
    kind: str
    columns: Columns | None = None


KNOWN_COLUMNS = (
    Columns("MMSI", "BaseDateTime", "LON", "LAT"),
    Columns("MMSI", "# Timestamp", "Longitude", "Latitude", "%d/%m/%Y %H:%M:%S"),
    Columns("MMSI", "Timestamp", "Longitude", "Latitude", "%d/%m/%Y %H:%M:%S"),
)


def parse_source(text: str) -> Source:
    """`nmea+file:PATH`, `csv+file:PATH?mmsi=…&time=…&lon=…&lat=…&time_format=…`, or a bare path."""
    scheme, colon, rest = text.partition("+file:")
    if not colon:
        return Source(Path(text), "csv" if ".csv" in text else "nmea")
    path, _, query = rest.partition("?")
    options = dict(parse_qsl(query))
    return Source(Path(path), scheme, Columns(**options) if options else None)


def read_sources(sources: Sequence[Source]) -> list[Report]:
    """All hearings of vessels in time order; ties by order of the sources, then order in the file."""
    reports = [report for feed, source in enumerate(sources) for report in read_source(source, feed)]
    return sorted(reports, key=lambda report: report.time)


def read_source(source: Source, feed: int) -> Iterator[Report]:
    if source.kind == "csv":
        return read_csv(text_of(source.path, "utf-8-sig"), feed, source.columns)
    return read_nmea(text_of(source.path, "latin-1"), feed)


def text_of(path: Path, encoding: str) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode(encoding, "replace")


# --- what is a vessel, what is a place ---


def is_vessel(mmsi: str) -> bool:
    return not mmsi.startswith(NOT_A_VESSEL)


def place_or_none(lon: float | None, lat: float | None) -> tuple[float, float] | None:
    if lon is None or lat is None or (lon == 0 and lat == 0):
        return None
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        return None
    return lon, lat


def microseconds(moment: datetime) -> int:
    """Since the epoch; a time without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


# --- rows ---


def read_csv(text: str, feed: int, columns: Columns | None = None) -> Iterator[Report]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = columns or recognise(rows.fieldnames or [])
    for row in rows:
        try:
            report = report_of_row(row, feed, columns)
        except (ValueError, TypeError, AttributeError):
            continue  # a garbled row: not heard
        if report is not None:
            yield report


def recognise(header: Sequence[str]) -> Columns:
    for columns in KNOWN_COLUMNS:
        if {columns.mmsi, columns.time, columns.lon, columns.lat} <= set(header):
            return columns
    raise ValueError(f"unknown columns: {', '.join(header)}")


def report_of_row(row: dict[str, str], feed: int, columns: Columns) -> Report | None:
    digits = row[columns.mmsi].strip()
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"not an MMSI: {digits!r}")
    # Numbers of fewer than seven digits are a file's own ship numbers, not an MMSI without its zeros.
    if len(digits) >= 7 and not is_vessel(digits.zfill(9)):
        return None
    time = time_of_row(row[columns.time].strip(), columns.time_format)
    place = place_or_none(degrees(row[columns.lon]), degrees(row[columns.lat]))
    return Report(time, int(digits), feed, place, None)


def time_of_row(text: str, time_format: str | None) -> int:
    if time_format is None:
        return microseconds(datetime.fromisoformat(text))
    return microseconds(datetime.strptime(text, time_format))  # noqa: DTZ007  UTC where the format has no zone


def degrees(text: str) -> float | None:
    return float(text) if text.strip() else None


# --- NMEA ---


@dataclass
class Message:
    """The sentences of a message so far, with the time of the first that had one."""

    sentences: list[str]
    time: int | None


def read_nmea(text: str, feed: int) -> Iterator[Report]:
    receiver_time: int | None = None
    parts: dict[tuple[str, ...], Message] = {}
    for line in text.splitlines():
        tag_block, sentence = split_tag_block(line.strip())
        if not checksum_is_right(sentence):
            continue
        if sentence.startswith("$PGHP,1,"):
            receiver_time = time_of_pghp(sentence)
        elif is_ais(sentence):
            time = time_of_tag_block(tag_block)
            message = assemble(sentence, receiver_time if time is None else time, parts)
            report = None if message is None else report_of_message(message, feed)
            if report is not None:
                yield report


def is_ais(sentence: str) -> bool:
    return sentence[:1] == "!" and sentence[3:6] in ("VDM", "VDO") and sentence.count(",") >= 6


def split_tag_block(line: str) -> tuple[str, str]:
    if not line.startswith("\\"):
        return "", line
    block, _, sentence = line[1:].partition("\\")
    return block, sentence


def checksum_is_right(sentence: str) -> bool:
    body, star, given = sentence[1:].partition("*")
    return bool(star) and given[:2].upper() == f"{xor_of(body):02X}"


def xor_of(body: str) -> int:
    total = 0
    for character in body:
        total ^= ord(character)
    return total


def time_of_tag_block(block: str) -> int | None:
    """Its `c:`, whatever the block's own checksum says: real receivers get that one wrong."""
    for field in block.partition("*")[0].split(","):
        if field.startswith("c:") and field[2:].isdigit():
            count = int(field[2:])
            return count * (1_000 if count > MILLISECONDS_ABOVE else 1_000_000)
    return None


def time_of_pghp(sentence: str) -> int | None:
    """`$PGHP,1,year,month,day,hour,minute,second,millisecond,…` written before each message."""
    try:
        year, month, day, hour, minute, second, milli = map(int, sentence.split(",")[2:9])
        return microseconds(datetime(year, month, day, hour, minute, second, milli * 1_000, UTC))
    except ValueError:
        return None


def assemble(sentence: str, time: int | None, parts: dict[tuple[str, ...], Message]) -> Message | None:
    """The whole message once its last sentence is there; its sentences have to come in order."""
    formatter, count, number, sequence, channel = sentence.split(",")[:5]
    if count == "1":
        return Message([sentence], time)
    key = (formatter, count, sequence, channel)
    if number == "1":
        parts[key] = Message([sentence], time)
        return None
    message = parts.get(key)
    if message is None or str(len(message.sentences) + 1) != number:
        parts.pop(key, None)
        return None
    message.sentences.append(sentence)
    message.time = time if message.time is None else message.time
    return parts.pop(key) if number == count else None


def report_of_message(message: Message, feed: int) -> Report | None:
    bits = payload_bits(message.sentences)
    if bits is None or len(bits) < MMSI_ENDS or message.time is None:
        return None
    kind, mmsi = int(bits[:6], 2), int(bits[8:MMSI_ENDS], 2)
    if not 1 <= kind <= 27 or len(bits) < LATITUDE_ENDS.get(kind, 0) or not is_vessel(f"{mmsi:09d}"):
        return None
    place = None
    if kind in POSITION_TYPES:
        try:
            decoded: dict[str, Any] = pyais.decode(*message.sentences).asdict()
        except AISBaseException:
            return None
        place = place_or_none(float(decoded["lon"]), float(decoded["lat"]))
    return Report(message.time, mmsi, feed, place, bits)


def payload_bits(sentences: Sequence[str]) -> str | None:
    """Six bits a character, the fill bits of each sentence left out; None where it is not AIS armour."""
    bits = ""
    for sentence in sentences:
        payload, fill = sentence.split("*")[0].split(",")[5:7]
        values = [ord(character) - 48 for character in payload]
        if not all(0 <= value <= 39 or 48 <= value <= 71 for value in values) or fill not in ("", *"012345"):
            return None
        piece = "".join(f"{value if value <= 39 else value - 8:06b}" for value in values)
        bits += piece[: len(piece) - int(fill or 0)]
    return bits
