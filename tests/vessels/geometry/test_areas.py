"""Anybody's GeoJSON into the stored form, or refused with what and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import shapely

from vessels.geometry.areas import GeometryError, from_stored, read_area, to_geojson

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def polygon(*rings: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]}


def ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north]]


def test_an_area_in_0_360_is_split_at_the_antimeridian():
    area = read_area(polygon(ring(170, -50, 190, -40)))

    assert sorted(part.bounds for part in area.geoms) == [(-180, -50, -170, -40), (170, -50, 180, -40)]


def test_a_step_over_180_degrees_means_the_same():
    assert read_area(polygon(ring(170, -50, -170, -40))).equals(read_area(polygon(ring(170, -50, 190, -40))))


def test_every_hole_is_kept_on_both_sides_and_across_the_cut():
    holes = [ring(171, -49, 172, -48), ring(174, -49, 175, -48), ring(185, -49, 186, -48), ring(179, -46, 181, -45)]

    area = read_area(polygon(ring(170, -50, 190, -40), *holes))

    assert area.area == pytest.approx(200 - 1 - 1 - 1 - 2)
    assert not area.intersects(shapely.Point(179.5, -45.5))
    assert not area.intersects(shapely.Point(-174.5, -48.5))


def test_a_hole_written_on_the_other_side_is_moved_to_its_shell():
    area = read_area(polygon(ring(170, -50, 190, -40), ring(-175, -49, -174, -48)))

    assert area.area == pytest.approx(199)


def test_longitudes_come_back_as_they_were_typed():
    area = read_area(polygon(ring(185.1, -40.3, 186.7, -39.9)))

    assert area.bounds == (-174.9, -40.3, -173.3, -39.9)


def test_several_features_make_one_area():
    features = [{"type": "Feature", "geometry": polygon(ring(x, 0, x + 2, 1)), "properties": {}} for x in (0, 1, 9)]

    area = read_area({"type": "FeatureCollection", "features": features})

    assert area.area == pytest.approx(5)
    assert len(area.geoms) == 2


def test_the_stored_form_reads_back_and_is_wound_anticlockwise():
    area = read_area(polygon(ring(0, 0, 2, 2)[::-1], ring(0.5, 0.5, 1, 1)))

    stored = to_geojson(area)

    assert stored["type"] == "MultiPolygon"
    assert from_stored(stored).equals(area)
    assert shapely.is_ccw(from_stored(stored).geoms[0].exterior)


@pytest.mark.parametrize(
    ("geometry", "says"),
    [
        (polygon([[0, 0], [2, 2], [2, 0], [0, 2]]), "self-intersection at longitude 1, latitude 1"),
        (polygon([[178, 0], [-178, 2], [-178, 0], [178, 2]]), "self-intersection at longitude 180, latitude 1"),
        (polygon([[0, 80], [120, 80], [-120, 80]]), "goes around a pole at longitude 0, latitude 80"),
        (polygon([[0, 0], [1, 0], [1, 91]]), "point 3: longitude 1, latitude 91 is no place"),
        (polygon([[0, 0], [1, 0], [1, float("nan")]]), "no place"),
        (polygon([[0, 0], [1, 0]]), "four points"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}, "does not end where it began"),
        (polygon(ring(0, 0, 2, 2), ring(5, 5, 6, 6)), "hole lies outside shell"),
        ({"type": "Point", "coordinates": [0, 0]}, "expected Polygon or MultiPolygon, found 'Point'"),
        ({"type": "FeatureCollection", "features": []}, "no polygon"),
        ({"type": "Polygon", "coordinates": [["a"]]}, "not a pair of numbers"),
        ({"type": "Polygon", "coordinates": []}, "no coordinates"),
    ],
)
def test_what_is_refused_says_what_and_where(geometry: dict[str, Any], says: str):
    with pytest.raises(GeometryError, match=says):
        read_area(geometry)


def test_polygons_of_one_area_that_overlap_across_the_antimeridian_are_refused():
    rings = [[*r, r[0]] for r in (ring(170, 0, 190, 1), ring(-175, 0, -174, 1))]

    with pytest.raises(GeometryError, match=r"overlap at longitude -174\.5"):
        read_area({"type": "MultiPolygon", "coordinates": [[r] for r in rings]})


@pytest.mark.skipif(not DATA.exists(), reason="needs the folder ../shared/data beside the project")
@pytest.mark.parametrize("name", ["nz_zones_0_360", "pacific_eez_0_360"])
def test_real_zones_across_180_are_accepted(name: str):
    for feature in json.loads((DATA / f"{name}.geojson").read_text())["features"]:
        area = read_area(feature)

        assert area.is_valid
        assert area.area == pytest.approx(shapely.from_geojson(json.dumps(feature["geometry"])).area)
        assert -180 <= area.bounds[0] <= area.bounds[2] <= 180
