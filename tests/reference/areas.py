"""Areas with plain shapely, and without splitting anything at 180°.

Each polygon lives in a longitude that runs on without a step (it may go past ±180); a position is looked
for at its longitude, one turn east and one turn west.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import shapely
from shapely.geometry import Point, Polygon
from shapely.validation import explain_validity

Ring = list[tuple[float, float]]
Geometry = Mapping[str, Any]


class Area:
    """A Polygon, MultiPolygon or GeometryCollection of them, as GeoJSON. Raises ValueError where invalid."""

    def __init__(self, geometry: Geometry) -> None:
        self.polygons = [unwrapped_polygon(rings) for rings in polygons_of(geometry)]
        for polygon in self.polygons:
            shapely.prepare(polygon)
        self.boxes = [polygon.bounds for polygon in self.polygons]
        wests, souths, easts, norths = zip(*self.boxes, strict=True)
        self.west, self.south, self.east, self.north = min(wests), min(souths), max(easts), max(norths)

    def contains(self, lon: float, lat: float) -> bool:
        """The boundary is inside, holes are outside."""
        if not self.south <= lat <= self.north:  # most positions are far from most areas
            return False
        turns = (lon, lon + 360.0, lon - 360.0)
        return any(self._covers(there, lat) for there in turns if self.west <= there <= self.east)

    def _covers(self, lon: float, lat: float) -> bool:
        for polygon, (west, south, east, north) in zip(self.polygons, self.boxes, strict=True):
            if west <= lon <= east and south <= lat <= north and polygon.covers(Point(lon, lat)):
                return True
        return False


def polygons_of(geometry: Geometry) -> list[Sequence[Any]]:
    kind = geometry["type"]
    if kind == "Polygon":
        return [geometry["coordinates"]]
    if kind == "MultiPolygon":
        return list(geometry["coordinates"])
    if kind == "GeometryCollection":
        return [rings for part in geometry["geometries"] for rings in polygons_of(part)]
    raise ValueError(f"not an area: {kind}")


def unwrapped_polygon(rings: Sequence[Any]) -> Polygon:
    shell = into_first_turn(unwrapped_ring(rings[0]))
    polygon = Polygon(shell, [beside(unwrapped_ring(ring), shell) for ring in rings[1:]])
    if not polygon.is_valid or polygon.is_empty:
        raise ValueError(f"invalid area: {explain_validity(polygon)}")
    return polygon


def unwrapped_ring(ring: Sequence[Any]) -> Ring:
    """The same ring in a longitude without steps of more than 180°."""
    points: Ring = []
    turn = 0.0
    for index, (lon, lat, *_) in enumerate(ring):
        if index:
            step = lon - ring[index - 1][0]
            turn += -360.0 if step > 180 else 360.0 if step < -180 else 0.0
        points.append((lon + turn, lat))
    if points[0] != points[-1]:
        raise ValueError(f"a ring is open or goes around a pole: {points[0]} … {points[-1]}")
    return points


def turned(ring: Ring, turn: float) -> Ring:
    """A longitude typed with at most twelve decimals keeps them: 237.984863 − 360 is −122.015137 to the bit."""
    return [(round(lon + turn, 12) if round(lon, 12) == lon else lon + turn, lat) for lon, lat in ring]


def into_first_turn(ring: Ring) -> Ring:
    """Its western end in [−180, 180)."""
    west = min(lon for lon, _ in ring)
    turn = 0.0
    while west + turn >= 180:
        turn -= 360.0
    while west + turn < -180:
        turn += 360.0
    return turned(ring, turn)


def beside(hole: Ring, shell: Ring) -> Ring:
    """The hole, turned to where its shell is."""
    west, east = min(lon for lon, _ in shell), max(lon for lon, _ in shell)
    for turn in (0.0, 360.0, -360.0):
        if all(west <= lon + turn <= east for lon, _ in hole):
            return turned(hole, turn)
    raise ValueError(f"a hole lies outside its polygon: {hole[0]}")
