"""Rows of a CSV file into reports. A bad row is counted; only a bad header stops the file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from functools import lru_cache

from vessels.feeds import csv_values, rejections
from vessels.feeds.csv_header import Header
from vessels.feeds.places import fault_of_place
from vessels.feeds.rejections import printable
from vessels.feeds.rows import NAN, Row, RowCollector
from vessels.feeds.texts import clean_text, positive, valid_imo
from vessels.mid import station_kind
from vessels.reports import StaticReport

STATIC_COLUMNS = ("name", "call_sign", "imo", "ship_type", "length", "width", "destination", "draught")
_CACHE = 200_000  # texts that repeat from row to row; a day has 86,400 seconds
# Seven digits or more are an MMSI that may have lost its leading zeros; fewer are a file's own ship number.
FIRST_MMSI = 1_000_000


class RowReader:
    """Reads line after line of one file."""

    def __init__(self, header: Header, into: RowCollector, *, start: int | None) -> None:
        self.into = into
        self.header = header
        self.start = start
        self.times = 0
        index = header.index
        self._columns = [
            index.get(name, -1)
            for name in ("mmsi", "time", "lon", "lat", "speed", "course", "heading", "status", "class")
        ]
        self._required = max(index[name] for name in ("mmsi", "time", "lon", "lat") if name in index)
        self._statics = [index.get(name, -1) for name in STATIC_COLUMNS]
        self._has_statics = any(i >= 0 for i in self._statics)
        self._last_said: dict[int, tuple[str, ...]] = {}
        self._time_cache: dict[str, int | None] = {}
        self._width = 1 + max(index.values())

    def read(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """All lines after the header, each with its ordinal."""
        for ordinal, line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text.strip():
                self._row(ordinal, line, self._cells(text))

    def _cells(self, text: str) -> list[str]:
        """A row is one line, so that a stray quote spoils no other row."""
        if '"' not in text:
            return text.split(self.header.delimiter)
        try:
            return next(csv.reader((text,), delimiter=self.header.delimiter), [])
        except csv.Error:
            return []

    def _row(self, ordinal: int, line: bytes, cells: list[str]) -> None:
        rejected = self.into.rejected
        if len(cells) <= self._required:
            return rejected.add(rejections.BAD_ROW, line)
        if len(cells) < self._width:
            cells = cells + [""] * (self._width - len(cells))
        mmsi_at, time_at, lon_at, lat_at, *more = self._columns
        mmsi, not_a_vessel = _mmsi(cells[mmsi_at])
        if mmsi is None:
            return rejected.add(rejections.BAD_MMSI, line)
        time = self._time(cells[time_at]) if time_at >= 0 else self.start
        if time is None:
            return rejected.add(rejections.BAD_TIME, line)
        self.times += 1
        speed, course, heading, status, kind = (cells[i] if i >= 0 else "" for i in more)
        vessel_class, station = _class_or_station(kind)
        if not_a_vessel is not None:
            return rejected.add(rejections.NOT_A_VESSEL + (station or not_a_vessel), line)
        place = self._place(cells[lon_at], cells[lat_at], line)
        if place is None:
            return rejected.add(rejections.BAD_ROW, line)
        row: Row = (
            time, time, mmsi, *place, _below(speed, 102.3), _below(course, 360), _below(heading, 360),
            _status(status), 0, vessel_class, -1, self.into.feed, 0, ordinal,
        )  # fmt: skip
        index = self.into.add(row, printable(line) if self.into.keep_raw else "")
        if self._has_statics:
            self._static(index, time, mmsi, cells)
        return None

    def _time(self, text: str) -> int | None:
        if text not in self._time_cache:
            if len(self._time_cache) >= _CACHE:
                self._time_cache.clear()
            self._time_cache[text] = csv_values.microseconds(text, self.header.time_format)
        return self._time_cache[text]

    def _place(self, lon_text: str, lat_text: str, line: bytes) -> tuple[float, float] | None:
        """Longitude and latitude, both NaN where they are no place; None where they are not even numbers."""
        try:
            lon, lat = float(lon_text), float(lat_text)
            fault = fault_of_place(lon, lat)
        except ValueError:
            if csv_values.said(lon_text) is not None and csv_values.said(lat_text) is not None:
                return None
            lon = lat = NAN
            fault = rejections.NO_POSITION
        if fault is None:
            return lon, lat
        self.into.rejected.add(fault, line)
        return NAN, NAN

    def _static(self, index: int, time: int, mmsi: int, cells: list[str]) -> None:
        """A static report where the row says something that its vessel's last one did not."""
        texts = tuple([cells[i] if i >= 0 else "" for i in self._statics])
        if self._last_said.get(mmsi) == texts:
            return
        self._last_said[mmsi] = texts
        name, call_sign, imo, kind, length, width, destination, draught = texts
        depth = csv_values.number(draught)
        report = StaticReport(
            row=index,
            time=time,
            mmsi=mmsi,
            name=clean_text(csv_values.said(name), 120),
            call_sign=clean_text(csv_values.said(call_sign), 20),
            imo=valid_imo(csv_values.imo_number(imo)),
            ship_type=csv_values.ship_type(kind),
            length_m=csv_values.whole_metres(length),
            beam_m=csv_values.whole_metres(width),
            destination=clean_text(csv_values.said(destination), 120),
            draught_m=None if math.isnan(depth) else positive(depth),
        )
        if any(getattr(report, said) is not None for said in _SAID):
            self.into.statics.append(report)


_SAID = ("name", "call_sign", "imo", "ship_type", "length_m", "beam_m", "destination", "draught_m")


@lru_cache(maxsize=_CACHE)
def _mmsi(text: str) -> tuple[int | None, str | None]:
    """The number, and what it is other than a vessel."""
    mmsi = csv_values.mmsi_number(text)
    return mmsi, station_kind(mmsi) if mmsi is not None and mmsi >= FIRST_MMSI else None


@lru_cache(maxsize=1_024)
def _class_or_station(text: str) -> tuple[bytes, str | None]:
    word = text.strip().lower()
    return csv_values.CLASS_OF_WORDS.get(word, b""), csv_values.STATION_OF_WORDS.get(word)


_status = lru_cache(maxsize=1_024)(csv_values.status_number)


def _below(text: str, not_available: float) -> float:
    """A speed, course or heading; NaN where it is not said or says *not available*."""
    if not text:
        return NAN
    try:
        value = float(text)
    except ValueError:
        return NAN
    return value if 0 <= value < not_available else NAN
