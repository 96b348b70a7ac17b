"""What a feed hands to the watch: batches of AIS reports in columns.

One row is one hearing: a valid message of a vessel's MMSI. A row with a place (`lon`, `lat` not NaN)
may become a position; every row counts as *heard*. Static data travels beside the rows, in `statics`,
each entry naming the row that heard it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Times are int64 microseconds since 1970-01-01T00:00:00Z: exact, sortable, and the resolution PostgreSQL keeps.
REPORT = np.dtype(
    [
        ("time", "i8"),  # event time, µs
        ("received_at", "i8"),  # when we (or the file's station) received it, µs
        ("mmsi", "i8"),
        ("lon", "f8"),  # degrees, NaN when not available
        ("lat", "f8"),
        ("speed", "f4"),  # knots, NaN when not available
        ("course", "f4"),  # degrees, NaN when not available
        ("heading", "f4"),  # degrees, NaN when not available
        ("status", "i2"),  # navigational status 0..15, -1 when not available
        ("message_type", "i2"),  # AIS type 1..27, 0 for a file's row
        ("vessel_class", "S1"),  # b"A", b"B" or b"" when unknown
        ("station", "i4"),  # index into `stations`, -1 when unknown
        ("feed", "i4"),  # index into the watch's list of feeds
        ("payload", "u8"),  # 64-bit hash of the payload bits; for a file's row, of nothing (0)
        ("ordinal", "i8"),  # place in its source, from 0
    ]
)

ReportArray = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class StaticReport:
    """Names and numbers that a vessel says of itself (types 5, 19, 24, or a file's columns).

    `None` means "not said here", never "has none". `row` is the index of its hearing in the batch.
    """

    row: int
    time: int
    mmsi: int
    name: str | None = None
    call_sign: str | None = None
    imo: int | None = None
    ship_type: int | None = None
    length_m: int | None = None
    beam_m: int | None = None
    destination: str | None = None
    draught_m: float | None = None


@dataclass(slots=True)
class Batch:
    """Reports in order of arrival, or of time for a bounded source.

    `raw` is filled only where a feed keeps raw sentences, and is as long as `rows`.
    `rejected` counts by kind, with one sample of each, what never became a row and the rows that lost their place;
    `vessels.feeds.rejections` lists the kinds.
    """

    rows: ReportArray
    statics: list[StaticReport] = field(default_factory=list)
    stations: list[str] = field(default_factory=list)
    raw: list[str] | None = None
    rejected: dict[str, Rejected] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(slots=True)
class Rejected:
    """How many inputs of one kind were refused, and the first of them as it came."""

    count: int = 0
    sample: str = ""

    def add(self, text: str, *, count: int = 1) -> None:
        self.count += count
        if not self.sample:
            self.sample = text[:500]


def empty_rows(length: int = 0) -> ReportArray:
    """Rows with every optional column set to *not available*."""
    rows = np.zeros(length, dtype=REPORT)
    for column in ("lon", "lat", "speed", "course", "heading"):
        rows[column] = np.nan
    rows["status"] = -1
    rows["station"] = -1
    return rows
