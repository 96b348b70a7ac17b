"""Areas: from anybody's GeoJSON to the one form that we store.

    GeoJSON in ──read──▶ rings ──unwrap──▶ continuous longitudes ──check──▶ valid polygons
            ──split at ±180──▶ pieces in −180…180 ──merge──▶ one MultiPolygon, ready to store

Longitudes may run −180…180 or 0…360, and a step of more than 180° between neighbours crosses the
antimeridian (RFC 7946, section 3.1.9). Unwrapping adds or takes 360° after each such step, so that a ring
becomes an ordinary plane figure; a ring that does not close then goes around a pole, and is refused.
Edges stay straight in longitude and latitude. Whatever is wrong is refused by `GeometryError`, which says
what and where; nothing is repaired.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

Json = Mapping[str, Any]

# Twelve decimals of a degree are a tenth of a micrometre: a number typed with fewer is given back by them after ±360.
DECIMALS = 12
# Overlay computes the cut at ±180 in floating point; anything this near is the meridian itself.
ON_MERIDIAN = 1e-9


class GeometryError(ValueError):
    """An area that we refuse: `what` is wrong, in which part (`where`), at which `lon`, `lat` if it has a place."""

    def __init__(self, what: str, *, where: str = "", lon: float | None = None, lat: float | None = None) -> None:
        self.what = what
        self.where = where
        self.lon = lon
        self.lat = lat
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        place = "" if self.lon is None or self.lat is None else f" at longitude {self.lon:g}, latitude {self.lat:g}"
        return f"{self.where + ': ' if self.where else ''}{self.what}{place}"


def read_area(documents: Json | Sequence[Json]) -> MultiPolygon:
    """The area that one or several GeoJSON objects make together: a valid MultiPolygon in −180…180.

    Each object may be a Polygon, MultiPolygon, Feature or FeatureCollection. Features may overlap: they are
    merged. Within one MultiPolygon parts may not overlap. Raises `GeometryError`.
    """
    geometries = list(_geometries(documents))
    if not geometries:
        raise GeometryError("there is no polygon in it")
    pieces: list[Polygon] = []
    for where, geometry in geometries:
        pieces += _pieces_of_geometry(geometry, where)
    return _as_one(pieces)


def to_geojson(area: MultiPolygon) -> dict[str, Any]:
    """The stored form: a GeoJSON MultiPolygon, outer rings anticlockwise as RFC 7946 wants."""
    stored: dict[str, Any] = json.loads(shapely.to_geojson(shapely.orient_polygons(area)))
    return stored


def from_stored(geojson: Json | str) -> MultiPolygon:
    """The geometry of an area that `read_area` has already checked, parsed or as text."""
    text = geojson if isinstance(geojson, str) else json.dumps(geojson)
    return _as_multipolygon(shapely.from_geojson(text))


def vertex_count(area: MultiPolygon) -> int:
    return int(shapely.get_num_coordinates(area))


def _geometries(documents: Json | Sequence[Json]) -> Iterator[tuple[str, Json]]:
    """Every bare geometry, with the words that say where it was found."""
    if not isinstance(documents, Mapping):
        for number, document in enumerate(documents, start=1):
            for where, geometry in _geometries(document):
                yield _join(f"feature {number}", where), geometry
        return
    kind = documents.get("type")
    if kind == "FeatureCollection":
        yield from _geometries(documents.get("features") or [])
    elif kind == "Feature":
        if documents.get("geometry") is None:
            raise GeometryError("a feature without a geometry")
        yield from _geometries(documents["geometry"])
    elif kind in ("Polygon", "MultiPolygon"):
        yield "", documents
    else:
        raise GeometryError(f"expected Polygon or MultiPolygon, found {kind!r}")


def _pieces_of_geometry(geometry: Json, where: str) -> list[Polygon]:
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if geometry["type"] == "Polygon" else coordinates
    if not isinstance(polygons, Sequence) or not polygons or not polygons[0]:
        raise GeometryError("no coordinates", where=where)
    whole = []
    for number, rings in enumerate(polygons, start=1):
        place = where if len(polygons) == 1 else _join(where, f"polygon {number}")
        whole.append(_polygon(rings, place))
    split = [_split(polygon) for polygon in whole]
    _refuse_overlaps(whole, split, where)
    return [piece for pieces in split for piece in pieces]


# Rings


def _polygon(rings: Sequence[Any], where: str) -> Polygon:
    """One polygon in continuous longitudes, its holes moved beside their shell, checked."""
    if not isinstance(rings, Sequence) or not rings:
        raise GeometryError("a polygon without rings", where=where)
    shell = _unwrap(_read_ring(rings[0], where), where)
    holes = []
    for number, ring in enumerate(rings[1:], start=1):
        place = _join(where, f"hole {number}")
        holes.append(_beside(shell, _unwrap(_read_ring(ring, place), place)))
    if np.ptp(shell[:, 0]) > 360:
        raise GeometryError("the ring is wider than the earth", where=where, **_place(shell[0]))
    polygon = Polygon(shell, holes)
    if not polygon.is_valid:
        raise _invalid(polygon, where)
    if polygon.area == 0:
        raise GeometryError("the ring has no inside", where=where, **_place(shell[0]))
    return polygon


def _read_ring(ring: Any, where: str) -> NDArray[np.float64]:
    """Coordinates (n, 2), with range, length and closure checked. Heights are dropped."""
    try:
        points = np.array([(float(point[0]), float(point[1])) for point in ring], dtype=np.float64)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise GeometryError("a point is not a pair of numbers", where=where) from error
    if len(points) < 4:
        raise GeometryError(f"a ring needs four points, this one has {len(points)}", where=where)
    _refuse_outside_range(points, where)
    lon_gap, lat_gap = np.abs(points[0] - points[-1])
    if lat_gap != 0 or lon_gap not in (0, 360):
        raise GeometryError("the ring does not end where it began", where=where, **_place(points[-1]))
    return points


def _refuse_outside_range(points: NDArray[np.float64], where: str) -> None:
    lon, lat = points[:, 0], points[:, 1]
    good = (lon >= -180) & (lon <= 360) & (np.abs(lat) <= 90)
    if not good.all():
        number = int(np.argmin(good))
        raise GeometryError(
            f"longitude {lon[number]:g}, latitude {lat[number]:g} is no place on earth",
            where=_join(where, f"point {number + 1}"),
        )


def _unwrap(points: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """The ring in continuous longitudes: no step between neighbours is longer than 180°."""
    steps = np.diff(points[:, 0])
    turns = np.where(steps > 180, -360.0, np.where(steps < -180, 360.0, 0.0))
    unwrapped = points.copy()
    unwrapped[1:, 0] += np.cumsum(turns)
    if unwrapped[-1, 0] != unwrapped[0, 0]:
        furthest = int(np.argmax(np.abs(points[:, 1])))
        raise GeometryError("the ring goes around a pole", where=where, **_place(points[furthest]))
    return unwrapped


def _beside(shell: NDArray[np.float64], hole: NDArray[np.float64]) -> NDArray[np.float64]:
    """The hole moved by whole turns to where its shell is, however the two were written."""
    west, east = shell[:, 0].min(), shell[:, 0].max()
    for turn in (0.0, 360.0, -360.0):
        if hole[:, 0].min() + turn >= west and hole[:, 0].max() + turn <= east:
            moved: NDArray[np.float64] = hole + np.array([turn, 0.0])
            return moved
    return hole


# Checks


def _invalid(geometry: shapely.Geometry, where: str) -> GeometryError:
    """What the validator says, such as "Self-intersection[174.5 -41]", as our own sentence with a place."""
    reason = str(shapely.is_valid_reason(geometry))
    found = re.fullmatch(r"(.*?)\s*\[(\S+) (\S+)\]", reason)
    if not found:
        return GeometryError(f"invalid geometry: {reason}", where=where)
    what, lon, lat = found.group(1), float(found.group(2)), float(found.group(3))
    return GeometryError(f"invalid geometry: {what.lower()}", where=where, **_place((lon, lat)))


def _refuse_overlaps(whole: list[Polygon], split: list[list[Polygon]], where: str) -> None:
    """Parts of one MultiPolygon touch at most in points: in their own frame, and across turns of 360°."""
    if len(whole) == 1:
        return
    together = MultiPolygon(whole)
    if not together.is_valid:
        raise _invalid(together, where)
    owners = np.repeat(np.arange(len(split)), [len(pieces) for pieces in split])
    pieces = np.array([piece for group in split for piece in group])
    one, other = shapely.STRtree(pieces).query(pieces)
    for i, j in zip(one.tolist(), other.tolist(), strict=True):
        if owners[i] < owners[j] and shapely.relate_pattern(pieces[i], pieces[j], "T********"):
            place = pieces[i].intersection(pieces[j]).representative_point()
            raise GeometryError("two polygons overlap", where=where, **_place((place.x, place.y)))


# Splitting and merging


def _split(polygon: Polygon) -> list[Polygon]:
    """The polygon's pieces in −180…180: cut at every odd multiple of 180°, each piece moved by whole turns."""
    west, _, east, _ = polygon.bounds
    if west >= -180 and east <= 180:
        return [polygon]
    pieces: list[Polygon] = []
    for turn in (-360.0, 0.0, 360.0):
        if west < 180 + turn and east > turn - 180:
            window = shapely.box(turn - 180, -91, turn + 180, 91)
            cut = polygon.intersection(window) if west < turn - 180 or east > turn + 180 else polygon
            pieces += [_moved(part, -turn) for part in _polygons_in(cut)]
    return pieces


def _moved(piece: Polygon, turn: float) -> Polygon:
    """The piece turned; a corner stays where it was written, to the bit, so that a position on it is inside."""

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        lon = points[:, 0] + turn
        typed = np.round(points[:, 0], DECIMALS) == points[:, 0]
        lon = np.where(typed, np.round(lon, DECIMALS), lon)
        at_meridian = np.abs(np.abs(lon) - 180) < ON_MERIDIAN
        lon = np.where(at_meridian, np.copysign(180.0, lon), lon)
        return np.column_stack([lon, points[:, 1]])

    return shapely.transform(piece, move)


def _polygons_in(geometry: shapely.Geometry) -> list[Polygon]:
    """An intersection may leave points and lines where an edge only touches the cut: not area, so dropped."""
    return [
        part for part in shapely.get_parts(geometry, return_index=False) if isinstance(part, Polygon) and part.area > 0
    ]


def _as_one(pieces: list[Polygon]) -> MultiPolygon:
    """Pieces that are already a valid MultiPolygon stay as they were written; others are merged."""
    together = MultiPolygon(pieces)
    if together.is_valid:
        return together
    return _as_multipolygon(shapely.union_all(pieces))


def _as_multipolygon(geometry: shapely.Geometry) -> MultiPolygon:
    return geometry if isinstance(geometry, MultiPolygon) else MultiPolygon(_polygons_in(geometry))


def _place(point: Any) -> dict[str, float]:
    """Longitude and latitude for an error, as a chart would print them."""
    lon = float(point[0])
    while lon > 180:
        lon -= 360
    while lon < -180:
        lon += 360
    return {"lon": lon, "lat": float(point[1])}


def _join(*words: str) -> str:
    return ", ".join(word for word in words if word)
