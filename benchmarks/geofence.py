"""Points located per second: our index against the same tree asked with a predicate, and point by point."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import shapely

from benchmarks.frame import Case
from vessels.geometry.geofence import Geofence

AREAS = 1_000
POINTS = 50_000


def cases() -> Iterator[Case]:
    for vertices in (48, 500, 2_000):
        world, lon, lat = made_up(vertices)
        fence = Geofence(world)
        yield Case(
            case=f"{AREAS} areas of {vertices} vertices",
            unit="points/s",
            ours=partial(rate, partial(fence.locate, lon, lat)),
            peer="STRtree.query(predicate='intersects')",
            run_peer=partial(rate, tree_with_predicate(world, lon, lat)),
            rounds=3,
        )


def made_up(vertices: int) -> tuple[dict[int, shapely.MultiPolygon], np.ndarray, np.ndarray]:
    """Stars over the whole earth, such that a point is inside about one of them."""
    rng = np.random.default_rng(1)
    turns = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    world = {}
    for number in range(AREAS):
        middle, size = rng.uniform((-170, -70), (170, 70)), rng.uniform(2, 6)
        reach = size * (1 + 0.2 * np.sin(turns * 9))
        star = np.column_stack([middle[0] + reach * np.cos(turns), middle[1] + reach * np.sin(turns)])
        world[number] = shapely.MultiPolygon([shapely.Polygon(star)])
    return world, rng.uniform(-175, 175, POINTS), rng.uniform(-75, 75, POINTS)


def tree_with_predicate(
    world: dict[int, shapely.MultiPolygon], lon: np.ndarray, lat: np.ndarray
) -> Callable[[], object]:
    parts = np.array(list(world.values()))
    shapely.prepare(parts)
    tree = shapely.STRtree(parts)
    return lambda: tree.query(shapely.points(lon, lat), predicate="intersects")


def rate(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return POINTS / (time.perf_counter() - began)
