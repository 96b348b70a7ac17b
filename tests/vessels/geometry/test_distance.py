"""Distances to boundaries, against a slow search."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from vessels.geometry.areas import read_area
from vessels.geometry.distance import WGS84, Boundary, nautical_miles


def slowly(area: shapely.MultiPolygon, lon: float, lat: float) -> float:
    """The nearest of very many points of the boundary."""
    points = shapely.get_coordinates(shapely.segmentize(area.boundary, 0.002))
    _, _, metres = WGS84.inv(np.full(len(points), lon), np.full(len(points), lat), points[:, 0], points[:, 1])
    return float(np.min(metres)) / 1852


def test_a_degree_of_latitude_is_sixty_miles():
    assert nautical_miles(np.array([0.0]), np.array([0.0]), np.array([0.0]), np.array([1.0]))[0] == pytest.approx(
        59.705, abs=0.001
    )


@pytest.mark.parametrize("place", [(174.0, -41.0), (171.0, -44.9), (160.0, -30.0), (178.99, -41.0)])
def test_the_nearest_point_of_a_boundary_is_found(place: tuple[float, float]):
    area = shapely.MultiPolygon([shapely.Polygon([(170, -45), (179, -46), (178, -36), (172, -38)])])

    distance = Boundary(area).distances_nmi(np.array([place[0]]), np.array([place[1]]))[0]

    assert distance == pytest.approx(slowly(area, *place), abs=0.01)


def test_the_cut_at_180_is_no_boundary():
    area = read_area({"type": "Polygon", "coordinates": [[[170, -5], [190, -5], [190, 5], [170, 5], [170, -5]]]})

    distances = Boundary(area).distances_nmi(np.array([180.0, -179.9]), np.array([0.0, 0.0]))

    assert distances == pytest.approx([298.5, 298.5], abs=0.3)


def test_a_real_edge_along_180_is_a_boundary():
    area = shapely.MultiPolygon([shapely.box(170, -5, 180, 5)])

    assert Boundary(area).distances_nmi(np.array([179.0]), np.array([0.0]))[0] == pytest.approx(60.1, abs=0.1)
