"""New Zealand's 400-nautical-mile zone, simplified: `python -m demo.zone` writes `areas/new_zealand_400nmi.geojson`.

Drawn by ourselves: the outline follows well-known capes and islands, and each of its points is the centre of a
geodesic circle. It crosses 180°, so its longitudes run from 0 to 360.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from pyproj import Geod
from shapely import Polygon, set_precision, union_all
from shapely.geometry import mapping

METRES_PER_NMI = 1852.0
RADIUS_NMI = 400.0
SPACING_NMI = 12.0  # the outline between two circles then stays within 0.05 nmi of the true one
CIRCLE_VERTICES = 360  # within 0.02 nmi of a circle

# Longitude (0 to 360) and latitude of capes and islands, to a hundredth of a degree.
MAINLAND = [
    (172.13, -34.16),  # Three Kings Islands
    (173.05, -34.42),  # North Cape
    (175.55, -36.20),  # Great Barrier Island
    (177.20, -37.52),  # Whakaari
    (178.55, -37.69),  # East Cape
    (177.98, -39.26),  # Portland Island
    (176.65, -40.90),  # Cape Turnagain
    (175.29, -41.61),  # Cape Palliser
    (174.30, -41.73),  # Cape Campbell
    (173.10, -43.88),  # Banks Peninsula
    (170.73, -45.88),  # Cape Saunders
    (167.65, -47.30),  # South Cape
    (166.61, -48.02),  # The Snares
    (166.43, -45.91),  # West Cape
    (168.20, -44.00),  # Cascade Point
    (171.46, -41.75),  # Cape Foulwind
    (172.69, -40.50),  # Cape Farewell
    (173.75, -39.28),  # Cape Egmont
    (172.68, -34.42),  # Cape Reinga
]
KERMADECS = [(182.07, -29.27), (181.57, -30.23), (181.10, -31.35)]  # Raoul, Macauley, L'Esperance
CHATHAMS = [(183.15, -43.73), (183.50, -43.80), (183.80, -44.30)]
ISLANDS = [[(166.10, -50.70)], [(169.15, -52.54)], [(178.78, -49.69)], [(179.05, -47.75)]]

_wgs84 = Geod(ellps="WGS84")


def zone(radius_nmi: float = RADIUS_NMI) -> Polygon:
    """Everything within `radius_nmi` of the outlines, in degrees with longitudes of 0 to 360."""
    circles = [
        _circle(lon, lat, radius_nmi)
        for line in (MAINLAND, KERMADECS, CHATHAMS, *ISLANDS)
        for lon, lat in _points(line)
    ]
    joined = set_precision(union_all(circles).simplify(0.0005), 0.0001)
    if not isinstance(joined, Polygon):
        raise TypeError("the zone must be one piece")
    return Polygon(joined.exterior)


def _points(line: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The points of a line, and more between them, not further apart than `SPACING_NMI`."""
    yield line[0]
    for (lon1, lat1), (lon2, lat2) in pairwise(line):
        length = _wgs84.inv(lon1, lat1, lon2, lat2)[2] / METRES_PER_NMI
        between = _wgs84.npts(lon1, lat1, lon2, lat2, int(length / SPACING_NMI))
        yield from ((lon % 360, lat) for lon, lat in between)
        yield lon2, lat2


def _circle(lon: float, lat: float, radius_nmi: float) -> Polygon:
    bearings = np.linspace(0, 360, CIRCLE_VERTICES, endpoint=False)
    many = np.ones_like(bearings)
    lons, lats, _ = _wgs84.fwd(lon * many, lat * many, bearings, radius_nmi * METRES_PER_NMI * many)
    return Polygon(np.column_stack([np.asarray(lons) % 360, lats]))


def main() -> None:
    feature = {
        "type": "Feature",
        "properties": {"name": "New Zealand 400 nmi", "made_from": "capes and islands, demo/zone.py"},
        "geometry": mapping(zone()),
    }
    target = Path(__file__).parent / "areas" / "new_zealand_400nmi.geojson"
    target.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
