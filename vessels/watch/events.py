"""What the watch says: events with their evidence, still free of the database.

Times are int64 microseconds; `feed` is the number of a feed's row, `area` that of an area's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from vessels.reports import REPORT

ENTERED, EXITED, APPEARED, MISSING, RESUMED = "entered", "exited", "appeared", "missing", "resumed"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMN = {name: place for place, name in enumerate(REPORT.names or ())}

Row = tuple[Any, ...]  # one report, as `ReportArray.tolist()` gives it


@dataclass(slots=True)
class Event:
    """One thing that happened. EVENTS says exactly what each kind means: `docs/events.md`."""

    kind: str
    mmsi: int
    area: int
    area_version: int
    feed: int
    occurred_at: int
    received_at: int
    lon: float
    lat: float
    position_key: str
    not_before: int | None = None
    not_after: int | None = None
    duration: int | None = None
    gap_start: int | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    # Where it stands among the others: when it was noticed in event time, after which report.
    order: tuple[int, int, int] = (0, 0, 0)

    def sort_key(self) -> tuple[tuple[int, int, int], int, int, str, int]:
        return self.order, self.mmsi, self.area, self.kind, self.duration or 0


def column(row: Row, name: str) -> Any:
    return row[_COLUMN[name]]


def describe(row: Row) -> dict[str, Any]:
    """A position as evidence: plain JSON, None where a value is not available."""
    return {
        "time": iso(column(row, "time")),
        "received_at": iso(column(row, "received_at")),
        "lon": column(row, "lon"),
        "lat": column(row, "lat"),
        "speed": _number(column(row, "speed")),
        "course": _number(column(row, "course")),
        "heading": _number(column(row, "heading")),
        "status": None if column(row, "status") < 0 else column(row, "status"),
        "vessel_class": column(row, "vessel_class").decode(),
    }


def evidence_of(row: Row, **proof: Any) -> dict[str, Any]:
    """Evidence of an event: what rules select by, said by the position that it is told by, and the proof itself."""
    said = describe(row)
    return {name: said[name] for name in ("speed", "status", "vessel_class")} | proof


def to_datetime(time: int) -> datetime:
    return EPOCH + timedelta(microseconds=int(time))


def to_microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def iso(time: int) -> str:
    return to_datetime(time).isoformat().replace("+00:00", "Z")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 1)
