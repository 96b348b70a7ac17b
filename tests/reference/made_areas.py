"""Areas of many shapes around the busiest places of some reports, the same ones every time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.reference.reports import Report

Place = tuple[float, float]
Ring = list[Place]


def busy_places(reports: Iterable[Report], *, cell: float, count: int) -> list[Place]:
    """The middles of the fullest cells of a grid, fullest first."""
    cells = Counter(
        (math.floor(lon / cell), math.floor(lat / cell))
        for lon, lat in (report.place for report in reports if report.place is not None)
    )
    ranked = sorted(cells.items(), key=lambda item: (-item[1], item[0]))
    return [((x + 0.5) * cell, (y + 0.5) * cell) for (x, y), _ in ranked[:count]]


def made_areas(places: list[Place], *, size: float) -> dict[str, dict[str, Any]]:
    """A box, a circle, a box with two holes and a star in turn; then pairs of them as multipolygons."""
    makers = (box, circle, holed, star)
    single = {
        f"{makers[index % 4].__name__} {index}": polygon(*makers[index % 4](place, size))
        for index, place in enumerate(places)
    }
    pairs = {
        f"pair {index}": {"type": "MultiPolygon", "coordinates": [circle(one, size / 3), holed(two, size / 3)]}
        for index, (one, two) in enumerate(zip(places[::3], places[1::3], strict=False))
        if math.dist(one, two) > size
    }
    return single | pairs


def polygon(*rings: Ring) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def box(middle: Place, size: float) -> list[Ring]:
    (lon, lat), half = middle, size / 2
    corners = [(lon - half, lat - half), (lon + half, lat - half), (lon + half, lat + half), (lon - half, lat + half)]
    return [[*corners, corners[0]]]


def circle(middle: Place, size: float) -> list[Ring]:
    return [around(middle, [size / 2] * 64)]


def star(middle: Place, size: float) -> list[Ring]:
    return [around(middle, [size / 2, size / 5] * 7)]


def holed(middle: Place, size: float) -> list[Ring]:
    """A box with two holes, one of them over its busy middle."""
    lon, lat = middle
    return [*box(middle, size), *box(middle, size / 5), *box((lon + size / 3, lat), size / 8)]


def around(middle: Place, radii: list[float]) -> Ring:
    ring = [
        (
            middle[0] + radius * math.cos(2 * math.pi * index / len(radii)),
            middle[1] + radius * math.sin(2 * math.pi * index / len(radii)),
        )
        for index, radius in enumerate(radii)
    ]
    return [*ring, ring[0]]
