"""Reports evaluated per second by the pure watch: all areas, crossings and silences, no database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.frame import Case
from benchmarks.geofence import made_up
from vessels.reports import Batch, ReportArray, empty_rows
from vessels.watch.areas import WatchedArea, WatchedAreas
from vessels.watch.clock import whole_clock
from vessels.watch.core import Watch

REPORTS = 200_000
MINUTE = 60_000_000


def cases() -> Iterator[Case]:
    shapes, _, _ = made_up(500)
    world = WatchedAreas(WatchedArea(n, 1, shape, ((30 * MINUTE, 0),)) for n, shape in shapes.items())
    for vessels, size in ((5_000, 1_000), (5_000, 20_000), (50_000, 20_000)):
        rows = drifting(vessels)
        yield Case(
            case=f"{vessels} vessels, batches of {size}",
            unit="reports/s",
            ours=partial(evaluate, world, rows, size),
            rounds=3,
        )


def drifting(vessels: int) -> ReportArray:
    """Vessels that report in turn for an hour and move about 12 kn."""
    rng = np.random.default_rng(2)
    turn = np.arange(REPORTS)
    who, round_ = turn % vessels, turn // vessels
    place = rng.uniform((-170, -70), (170, 70), (vessels, 2))
    course = rng.normal(0, 1, (vessels, 2))
    hours = turn / REPORTS
    rows = empty_rows(REPORTS)
    rows["time"] = 1_700_000_000_000_000 + (hours * 60 * MINUTE).astype("i8")
    rows["mmsi"] = 219_000_000 + who
    rows["lon"], rows["lat"] = (place[who] + course[who] * hours[:, None] * 0.2).T
    rows["message_type"], rows["payload"], rows["ordinal"] = 1, turn + round_, turn
    return rows


def evaluate(world: WatchedAreas, rows: ReportArray, size: int) -> float:
    clock = whole_clock(rows["time"], silent_after=10 * MINUTE)
    watch = Watch(areas=world, clocks={1: clock}, feeds=[1], live=False)
    began = time.perf_counter()
    for start in range(0, len(rows), size):
        watch.evaluate(Batch(rows[start : start + size]))
    watch.finish()
    return REPORTS / (time.perf_counter() - began)
