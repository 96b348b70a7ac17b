"""Geodesic distances on the WGS84 ellipsoid, in nautical miles.

`nautical_miles` is between places. `Boundary` is from places to the nearest point of an area's boundary:

1. the boundary is cut into steps of at most 0.05° (edges are straight in longitude and latitude);
2. on the sphere, a step can hold the nearest point only if its middle is nearer than the best middle plus
   both half lengths (with a slack for the flattening of the earth);
3. on each remaining step the nearest point has a closed form, and the geodesic to the best one is the answer.

The cut at ±180 where an area continues on the other side is no boundary.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod
from shapely import MultiPolygon

Floats = NDArray[np.float64]

METRES_PER_NAUTICAL_MILE = 1852.0
WGS84 = Geod(ellps="WGS84")

STEP_DEGREES = 0.05
# Geodesic and great-circle distances differ by at most 0.56 %.
FLATTENING_SLACK = 0.006
POINTS_AT_ONCE = 64
ONE_TURN = np.array([360.0, 0.0])


def nautical_miles(lon1: Floats, lat1: Floats, lon2: Floats, lat2: Floats) -> Floats:
    """Element by element; arrays of one length."""
    _, _, metres = WGS84.inv(lon1, lat1, lon2, lat2)
    return np.asarray(metres, dtype=np.float64) / METRES_PER_NAUTICAL_MILE


class Boundary:
    """An area's boundary, cut into short steps once, to measure many distances."""

    def __init__(self, area: MultiPolygon) -> None:
        lines = shapely.segmentize(_true_boundary(area), STEP_DEGREES)
        starts, ends = _steps(lines)
        self._starts = starts
        self._ends = ends
        self._from = _on_sphere(starts)
        self._to = _on_sphere(ends)
        middles = self._from + self._to
        self._middle = middles / np.linalg.norm(middles, axis=1, keepdims=True)
        self._half = _angle(self._from, self._middle)

    def distances_nmi(self, lon: Floats, lat: Floats) -> Floats:
        """For each place the distance to the nearest point of the boundary, inside or outside."""
        places = np.column_stack([lon, lat]).astype(np.float64)
        chunks = [self._distances(places[i : i + POINTS_AT_ONCE]) for i in range(0, len(places), POINTS_AT_ONCE)]
        return np.concatenate(chunks) if chunks else np.empty(0)

    def _distances(self, places: Floats) -> Floats:
        points = _on_sphere(places)
        to_middle = np.arccos(np.clip(points @ self._middle.T, -1.0, 1.0))
        bound = (to_middle + self._half).min(axis=1, keepdims=True) * (1 + FLATTENING_SLACK)
        who, step = np.nonzero(to_middle * (1 - FLATTENING_SLACK) - self._half <= bound)
        nearest = self._nearest_on_steps(points[who], step)
        miles = nautical_miles(places[who, 0], places[who, 1], nearest[:, 0], nearest[:, 1])
        best = np.full(len(places), np.inf)
        np.minimum.at(best, who, miles)
        return best

    def _nearest_on_steps(self, points: Floats, step: NDArray[np.int64]) -> Floats:
        """Longitude and latitude of the nearest point of each step: a chord of 0.05° is as good as straight."""
        along = self._to[step] - self._from[step]
        square = np.einsum("ij,ij->i", along, along)
        dot = np.einsum("ij,ij->i", points - self._from[step], along)
        share: Floats = np.clip(np.divide(dot, square, out=np.zeros_like(dot), where=square > 0), 0.0, 1.0)
        nearest: Floats = self._starts[step] + share[:, None] * (self._ends[step] - self._starts[step])
        return nearest


def _true_boundary(area: MultiPolygon) -> shapely.Geometry:
    """The boundary without the seam: where both sides of ±180 are inside, nobody crosses anything."""
    boundary = area.boundary
    east = boundary.intersection(shapely.LineString([(180, -90), (180, 90)]))
    west = boundary.intersection(shapely.LineString([(-180, -90), (-180, 90)]))
    if east.is_empty or west.is_empty:
        return boundary
    moved = shapely.transform(west, lambda points: points + ONE_TURN)
    seam = east.intersection(moved)
    seam_west = shapely.transform(seam, lambda points: points - ONE_TURN)
    return boundary.difference(seam).difference(seam_west)


def _steps(lines: shapely.Geometry) -> tuple[Floats, Floats]:
    """Starts and ends (n, 2) of every step of every line."""
    pieces = [part for part in shapely.get_parts(lines) if part.length > 0]
    coordinates = [shapely.get_coordinates(piece) for piece in pieces]
    starts = np.concatenate([points[:-1] for points in coordinates])
    ends = np.concatenate([points[1:] for points in coordinates])
    return starts, ends


def _on_sphere(places: Floats) -> Floats:
    lon, lat = np.radians(places[:, 0]), np.radians(places[:, 1])
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def _angle(one: Floats, other: Floats) -> Floats:
    """Angle between unit vectors, exact for small angles where arccos is not."""
    chord: Floats = np.linalg.norm(one - other, axis=1)
    return 2 * np.arcsin(np.clip(chord / 2, 0.0, 1.0))
