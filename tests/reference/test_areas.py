"""Inside and outside: boundaries, holes and 180°."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reference.areas import Area

Ring = list[tuple[float, float]]


def box(west: float, south: float, east: float, north: float) -> Ring:
    return [(west, south), (east, south), (east, north), (west, north), (west, south)]


def polygon(*rings: Ring) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


@pytest.mark.parametrize("shell", [box(178, -20, 182, -16), box(178, -20, -178, -16), box(-182, -20, -178, -16)])
@pytest.mark.parametrize(
    ("lon", "lat", "inside"),
    [
        (179, -18, True),
        (-179, -18, True),
        (180, -18, True),
        (-180, -18, True),
        (178, -18, True),
        (-178, -16, True),
        (177.999999, -18, False),
        (-177.999999, -18, False),
        (0, -18, False),
    ],
)
def test_a_box_across_180_is_the_same_in_every_way_of_writing_it(
    shell: Ring, lon: float, lat: float, inside: bool
) -> None:
    assert Area(polygon(shell)).contains(lon, lat) is inside


@pytest.mark.parametrize("hole", [box(179, -19, 181, -17), box(-181, -19, -179, -17), box(179, -19, -179, -17)])
def test_a_hole_across_180_is_outside_and_its_rim_is_inside(hole: Ring) -> None:
    area = Area(polygon(box(178, -20, 182, -16), hole))

    assert not area.contains(180, -18)
    assert not area.contains(-179.5, -18)
    assert area.contains(-179, -18)
    assert area.contains(178.5, -18)


def test_two_holes_on_one_side_of_180_are_both_kept() -> None:
    area = Area(polygon(box(170, -20, 190, -16), box(172, -19, 173, -17), box(175, -19, 176, -17)))

    assert [area.contains(lon, -18) for lon in (172.5, 174, 175.5, -175)] == [False, True, False, True]


def test_a_multipolygon_cut_at_180_holds_both_sides_of_the_cut() -> None:
    parts = [[box(178, -20, 180, -16)], [box(-180, -20, -178, -16)]]
    area = Area({"type": "MultiPolygon", "coordinates": parts})

    assert [area.contains(lon, -18) for lon in (179, 180, -180, -179, 177)] == [True, True, True, True, False]


def test_longitudes_from_0_to_360_beyond_180_are_west() -> None:
    area = Area(polygon(box(186.225309, -15, 190, -11)))

    assert area.contains(-173.774691, -12)
    assert not area.contains(-173.774692, -12)


@pytest.mark.parametrize(
    "ring",
    [
        [(0, 0), (2, 2), (2, 0), (0, 2), (0, 0)],
        [(0, 80), (120, 80), (-120, 80), (0, 80)],
        [(0, 0), (2, 0), (2, 2)],
    ],
    ids=["bow tie", "around the pole", "open"],
)
def test_a_ring_that_is_no_area_is_refused(ring: Ring) -> None:
    with pytest.raises(ValueError):
        Area(polygon(ring))
