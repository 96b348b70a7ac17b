"""The index finds what plain shapely finds."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from vessels.geometry.geofence import Geofence


def locate(fence: Geofence, *places: tuple[float, float]) -> list[tuple[int, int]]:
    position, area = fence.locate(np.array([p[0] for p in places]), np.array([p[1] for p in places]))
    return list(zip(position.tolist(), area.tolist(), strict=True))


def multi(*polygons: shapely.Polygon) -> shapely.MultiPolygon:
    return shapely.MultiPolygon(polygons)


def test_the_boundary_is_inside_and_a_hole_is_outside():
    fence = Geofence({7: multi(shapely.box(0, 0, 4, 4).difference(shapely.box(1, 1, 3, 3)))})

    assert locate(fence, (0, 2), (1, 2), (2, 2), (4.0001, 2)) == [(0, 7), (1, 7)]


def test_180_is_the_same_place_as_minus_180():
    fence = Geofence({1: multi(shapely.box(170, 0, 180, 1)), 2: multi(shapely.box(-180, 0, -170, 1))})

    assert locate(fence, (180, 0.5), (-180, 0.5), (179.9, 0.5)) == [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1)]


def test_an_area_of_two_parts_counts_once_where_they_touch():
    fence = Geofence({1: multi(shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1))})

    assert locate(fence, (1, 0.5)) == [(0, 1)]


def test_without_areas_nothing_is_found():
    assert locate(Geofence({}), (0, 0)) == []


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_vectorised_containment_is_plain_containment(seed: int):
    rng = np.random.default_rng(seed)
    areas = {n: multi(shapely.Point(*rng.uniform(-5, 5, 2)).buffer(rng.uniform(0.1, 4), 8)) for n in range(1, 9)}
    places = np.round(rng.uniform(-6, 6, (60, 2)), 1)

    found = set(locate(Geofence(areas), *map(tuple, places.tolist())))

    assert found == {
        (i, n) for i, place in enumerate(places) for n, area in areas.items() if area.intersects(shapely.Point(place))
    }
