"""Small worlds for tests of the watch: areas, tracks and a watch over both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import shapely

from vessels.reports import Batch, ReportArray, empty_rows
from vessels.watch.areas import WatchedArea, WatchedAreas
from vessels.watch.clock import whole_clock
from vessels.watch.core import Watch
from vessels.watch.events import Event

MINUTE = 60_000_000
START = 1_700_000_000_000_000
NO_PLACE = (float("nan"), float("nan"))


def square(west: float, south: float, size: float = 1.0) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([shapely.box(west, south, west + size, south + size)])


def areas(*geometries: shapely.MultiPolygon, missing: Sequence[float] = (), since: int = 0) -> WatchedAreas:
    uses = tuple((int(minutes * MINUTE), since) for minutes in missing)
    return WatchedAreas(WatchedArea(n, 1, g, uses) for n, g in enumerate(geometries, start=1))


def report(
    minutes: float, mmsi: int, lon: float, lat: float, *, feed: int = 0, payload: int | None = None
) -> dict[str, Any]:
    return {"minutes": minutes, "mmsi": mmsi, "lon": lon, "lat": lat, "feed": feed, "payload": payload}


def rows_of(reports: Sequence[dict[str, Any]]) -> ReportArray:
    """In the order given; each is an NMEA message with a payload of its own unless it says another."""
    rows = empty_rows(len(reports))
    for i, r in enumerate(reports):
        rows["time"][i] = rows["received_at"][i] = START + round(r["minutes"] * MINUTE)
        rows["mmsi"][i], rows["feed"][i] = r["mmsi"], r["feed"]
        rows["lon"][i], rows["lat"][i] = r["lon"], r["lat"]
        rows["message_type"][i], rows["ordinal"][i] = 1, i
        rows["payload"][i] = i + 1 if r["payload"] is None else r["payload"]
    return rows


def bounded(rows: ReportArray, world: WatchedAreas, *, size: int = 1000, silent_after: float = 10) -> list[Event]:
    """All events of a whole source, read in batches of some size."""
    watch = bounded_watch(rows, world, silent_after=silent_after)
    events = []
    for start in range(0, len(rows), size):
        events += watch.evaluate(Batch(rows[start : start + size])).events
    return events + watch.finish().events


def bounded_watch(rows: ReportArray, world: WatchedAreas, *, silent_after: float = 10) -> Watch:
    feeds = range(1, int(rows["feed"].max(initial=0)) + 2)
    clocks = {
        feed: whole_clock(rows["time"][rows["feed"] == feed - 1], silent_after=round(silent_after * MINUTE))
        for feed in feeds
    }
    return Watch(areas=world, clocks=clocks, feeds=feeds, live=False)


def told(events: Sequence[Event]) -> list[tuple[str, int, int, float]]:
    """Kind, MMSI, area, minutes since the start."""
    return [(e.kind, e.mmsi, e.area, (e.occurred_at - START) / MINUTE) for e in events]


def everything(events: Sequence[Event]) -> list[dict[str, Any]]:
    """All fields but those that say when a batch noticed it."""
    hidden = ("order", "received_at")
    return [{k: v for k, v in asdict(event).items() if k not in hidden} for event in events]


def random_rows(seed: int, *, count: int = 300, vessels: int = 6, feeds: int = 2, minutes: float = 300) -> ReportArray:
    """Drifting vessels with pauses, jumps, repeats, hearings without a place, and equal times."""
    rng = np.random.default_rng(seed)
    times = np.sort(np.round(rng.uniform(0, minutes, count), 0 if seed % 2 else 2))
    place = rng.uniform(-0.2, 1.2, (vessels, 2))
    reports = []
    for i, time in enumerate(times.tolist()):
        who = int(rng.integers(vessels) * rng.random())
        place[who] += rng.normal(0, 0.05, 2)
        lon, lat = place[who] if rng.random() > 0.1 else NO_PLACE
        if rng.random() < 0.1:
            lon, lat = lon + rng.choice([0.0, 3.0]), lat
        payload = int(rng.integers(1, i + 2)) if rng.random() < 0.1 else i + 1
        reports.append(report(time, 219000001 + who, lon, lat, feed=int(rng.integers(feeds)), payload=payload))
    return rows_of(reports)
