"""What the map is given to draw; no database."""

from __future__ import annotations

import shapely
from shapely import MultiPolygon, box

from alerting.pages.map_shapes import joined, simplified, window_start


def test_a_window_begins_after_the_widest_gap() -> None:
    assert window_start([(170, 180), (-180, -170)]) == 170
    assert window_start([(12, 13), (160, 180), (-180, -150)]) == 12
    assert window_start([]) == -180


def test_an_area_across_180_is_joined_into_one_piece() -> None:
    whole = joined(MultiPolygon([box(170, -40, 180, -30), box(-180, -40, -170, -30)]))

    assert len(whole.geoms) == 1
    assert whole.bounds == (170, -40, 190, -30)


def test_an_area_away_from_180_stays_as_it_is() -> None:
    area = MultiPolygon([box(10, 0, 11, 1), box(12, 0, 13, 1)])

    assert joined(area) is area


def test_a_hole_at_the_seam_is_kept() -> None:
    east = shapely.difference(box(170, -40, 180, -30), box(178, -36, 180, -34))
    west = shapely.difference(box(-180, -40, -170, -30), box(-180, -36, -178, -34))

    whole = joined(MultiPolygon([east, west]))

    assert whole.area == 200 - 8
    assert len(whole.geoms[0].interiors) == 1


def test_a_small_area_keeps_its_form() -> None:
    area = MultiPolygon([shapely.Point(12, 55).buffer(0.01)])

    assert abs(simplified(area).area / area.area - 1) < 0.01
