"""Collects rows one by one and packs them into the columns of `REPORT`, a chunk at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from vessels.feeds.rejections import Rejections
from vessels.reports import REPORT, Batch, ReportArray, StaticReport

NAN = math.nan

# In the order of `REPORT`: time, received_at, mmsi, lon, lat, speed, course, heading, status, message type, class,
# station, feed, payload, ordinal.
Row = tuple[int, int, int, float, float, float, float, float, int, int, bytes, int, int, int, int]

_CHUNK = 16_384  # rows held as tuples before they are packed: 1.5 MB


@dataclass(slots=True)
class RowCollector:
    """What one reading of a feed has found so far."""

    feed: int
    keep_raw: bool = False
    statics: list[StaticReport] = field(default_factory=list)
    rejected: Rejections = field(default_factory=Rejections)
    stations: dict[str, int] = field(default_factory=dict)
    raw: list[str] = field(default_factory=list)
    length: int = 0
    _packed: list[ReportArray] = field(default_factory=list)
    _loose: list[Row] = field(default_factory=list)

    def add(self, row: Row, raw: str = "") -> int:
        """Append a row and give its index in the batch."""
        self._loose.append(row)
        if self.keep_raw:
            self.raw.append(raw)
        if len(self._loose) >= _CHUNK:
            self._pack()
        self.length += 1
        return self.length - 1

    def station_index(self, station: str) -> int:
        """The index of a station's name; -1 for none."""
        if not station:
            return -1
        return self.stations.setdefault(station, len(self.stations))

    def batch(self) -> Batch:
        """Everything collected, as one batch."""
        self._pack()
        rows = np.concatenate(self._packed) if self._packed else np.zeros(0, dtype=REPORT)
        return Batch(
            rows=rows,
            statics=self.statics,
            stations=list(self.stations),
            raw=self.raw if self.keep_raw else None,
            rejected=dict(self.rejected),
        )

    def _pack(self) -> None:
        if self._loose:
            self._packed.append(np.array(self._loose, dtype=REPORT))
            self._loose = []
