"""Areas as the map draws them: whole across the antimeridian, light enough to send.

Stored areas are split at ±180. Here each is joined again, and all of a map are moved into one window of 360° that
begins where there is most empty sea or land, so that a map of the Pacific shows it in one piece.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import shapely
from shapely import MultiPolygon, Polygon
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from vessels.geometry.areas import from_stored
from vessels.models import Area

# Simplified to a 1,500th of the area's extent, never coarser than a nautical mile.
FINENESS = 1500
COARSEST_DEGREES = 1 / 60
DECIMALS = 5  # about a metre

Span = tuple[float, float]


def window_start(spans: Iterable[Span]) -> float:
    """Where a window of 360° should begin so that it cuts none of these west–east spans, if that can be.

    It is the eastern end of the widest gap between them, in [−180, 180).
    """
    turned = sorted((_turn(west), west, east - west) for west, east in spans)
    if not turned:
        return -180.0
    best, widest = turned[0][0], -1.0
    reach = max(start + width for start, _, width in turned) - 360  # what the last spans cover beyond the turn
    for start, _, width in turned:
        if start - reach > widest:
            best, widest = start, start - reach
        reach = max(reach, start + width)
    return best


def joined(area: MultiPolygon) -> MultiPolygon:
    """The area in continuous longitudes, its seam at ±180 dissolved."""
    parts = list(area.geoms)
    start = window_start([(part.bounds[0], part.bounds[2]) for part in parts])
    moved = [_moved(part, start) for part in parts]
    if all(part is there for part, there in zip(moved, parts, strict=True)):
        return area
    whole = shapely.union_all(moved)
    return _several(whole)


def simplified(area: MultiPolygon) -> MultiPolygon:
    """Fewer vertices, the same rings; a small area keeps its form."""
    west, south, east, north = area.bounds
    tolerance = min(max(east - west, north - south) / FINENESS, COARSEST_DEGREES)
    return _several(shapely.simplify(area, tolerance))


def drawn_area(area: Area) -> dict[str, Any]:
    """A GeoJSON feature of one area."""
    found: dict[str, Any] = json.loads(_drawn(area.pk, area.version))
    return found | {"properties": {"id": area.pk, "name": area.name}}


def drawn_areas(areas: Sequence[Area]) -> dict[str, Any]:
    """A GeoJSON collection of several, all in one window; `bbox` is their common box, absent without areas."""
    features = [drawn_area(area) for area in areas]
    start = window_start([(feature["bbox"][0], feature["bbox"][2]) for feature in features])
    for feature in features:
        _shift(feature, 360.0 if feature["bbox"][0] < start - 1e-9 else 0.0)
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if features:
        boxes = [feature["bbox"] for feature in features]
        lows = [min(box[place] for box in boxes) for place in (0, 1)]
        collection["bbox"] = lows + [max(box[place] for box in boxes) for place in (2, 3)]
    return collection


@lru_cache(maxsize=4096)
def _drawn(pk: int, version: int) -> str:
    """Kept by version: a new version of the area is another key."""
    del version
    shape = simplified(joined(from_stored(Area.objects.only("geometry").get(pk=pk).geometry)))
    rounded = shapely.transform(shape, lambda points: points.round(DECIMALS))
    feature = {"type": "Feature", "geometry": json.loads(shapely.to_geojson(rounded)), "bbox": list(rounded.bounds)}
    return json.dumps(feature)


def _several(shape: BaseGeometry) -> MultiPolygon:
    return MultiPolygon([part for part in shapely.get_parts(shape) if isinstance(part, Polygon)])


def _turn(lon: float) -> float:
    return (lon + 180) % 360 - 180


def _moved(part: Polygon, start: float) -> Polygon:
    return translate(part, xoff=360) if part.bounds[0] < start - 1e-9 else part


def _shift(feature: dict[str, Any], degrees: float) -> None:
    if not degrees:
        return
    box = feature["bbox"]
    feature["bbox"] = [box[0] + degrees, box[1], box[2] + degrees, box[3]]
    feature["geometry"]["coordinates"] = [
        [[[lon + degrees, lat] for lon, lat in ring] for ring in polygon]
        for polygon in feature["geometry"]["coordinates"]
    ]
