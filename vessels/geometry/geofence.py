"""The geofence index: which areas contain which positions, for whole batches at once.

1. Every polygon of every area is a *part* with a box; an STRtree of the boxes gives candidate pairs.
2. The candidates are sorted by part, so that each part is asked once, with all its points together.
3. `shapely.intersects_xy` on the prepared part answers: the boundary is inside, holes are outside.

(`STRtree.query(predicate=…)` looks simpler but does not use prepared polygons: on areas of 2,000 vertices it
is eight times slower.) Longitude 180 is the same place as −180: a position there is asked on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Geofence:
    """An immutable index over areas by their number."""

    def __init__(self, areas: Mapping[int, MultiPolygon]) -> None:
        numbers = np.array(list(areas), dtype=np.int64)
        parts, owners = shapely.get_parts(np.array(list(areas.values()), dtype=object), return_index=True)
        shapely.prepare(parts)
        self.areas = dict(areas)
        self._parts = parts
        self._area_of_part: Integers = numbers[owners] if len(numbers) else numbers
        self._tree = shapely.STRtree(parts)

    def locate(self, lon: Floats, lat: Floats) -> tuple[Integers, Integers]:
        """Pairs (position index, area number): that position is inside that area. Sorted, without repeats."""
        places, index = _with_other_side(lon, lat)
        position, part = self._tree.query(shapely.points(places))
        order = np.argsort(part, kind="stable")
        position, part = position[order], part[order]
        inside = np.zeros(len(part), dtype=bool)
        starts = np.flatnonzero(np.diff(part, prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(part)]):
            here = places[position[start:end]]
            inside[start:end] = shapely.intersects_xy(self._parts[part[start]], here[:, 0], here[:, 1])
        return _sorted_pairs(index[position[inside]], self._area_of_part[part[inside]])


def _with_other_side(lon: Floats, lat: Floats) -> tuple[Floats, Integers]:
    """Places to ask (n, 2) and the position that each stands for: those at ±180 stand twice."""
    places = np.column_stack([lon, lat]).astype(np.float64, copy=False)
    index = np.arange(len(places), dtype=np.int64)
    at_meridian = np.flatnonzero(np.abs(places[:, 0]) == 180)
    if len(at_meridian) == 0:
        return places, index
    mirrored = places[at_meridian] * (-1.0, 1.0)
    return np.vstack([places, mirrored]), np.append(index, at_meridian)


def _sorted_pairs(position: Integers, area: Integers) -> tuple[Integers, Integers]:
    """Two parts of one area may share an edge: such a pair counts once."""
    order = np.lexsort((area, position))
    position, area = position[order], area[order]
    fresh = np.ones(len(position), dtype=bool)
    fresh[1:] = (np.diff(position) != 0) | (np.diff(area) != 0)
    return position[fresh], area[fresh]
