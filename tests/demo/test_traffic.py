"""Tests of the simulated ships and what they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyais import decode
from pyproj import Geod
from shapely import GeometryCollection, Point, Polygon, from_geojson

from demo import zone
from demo.sentences import position_sentences, static_sentences
from demo.simulator import Traffic
from demo.traffic import DATE_LINE, Ship, Silence, Track, imo_number, make_fleet

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ZONE = Path(__file__).parents[2] / "demo" / "areas" / "new_zealand_400nmi.geojson"


def kept_zone() -> Polygon:
    """The zone as it lies in the file."""
    collection = from_geojson(ZONE.read_text())
    assert isinstance(collection, GeometryCollection)
    area = collection.geoms[0]
    assert isinstance(area, Polygon)
    return area


def ship_named(name: str) -> Ship:
    return next(ship for ship in make_fleet(1) if ship.name == name)


def payload(line: str) -> str:
    """A sentence without its tag block."""
    return line.rpartition("\\")[2]


def test_the_same_seed_gives_the_same_fleet() -> None:
    assert make_fleet(7) == make_fleet(7)
    assert make_fleet(7) != make_fleet(8)


def test_no_two_ships_share_an_mmsi() -> None:
    fleet = make_fleet(1)

    assert len({ship.mmsi for ship in fleet}) == len(fleet)


def test_imo_numbers_have_the_right_check_digit() -> None:
    assert imo_number(907472) == 9074729  # the worked example of the IMO number scheme


def test_a_ship_sails_at_its_speed_without_jumps() -> None:
    wgs84 = Geod(ellps="WGS84")

    for ship in make_fleet(1):
        for moment in range(0, 7200, 60):
            before, after = ship.fix(moment), ship.fix(moment + 60)
            sailed = wgs84.inv(before.lon, before.lat, after.lon, after.lat)[2] / 1852
            assert sailed <= ship.speed / 60 + 1e-6


def test_a_track_is_sailed_there_and_back() -> None:
    track = Track(((10.0, 0.0), (10.1, 0.0)))

    there, back = track.at(1.0), track.at(2 * track.length - 1.0)

    assert there[:2] == pytest.approx(back[:2])
    assert there[2] == pytest.approx(90.0)
    assert back[2] == pytest.approx(270.0)


def test_the_explorer_comes_into_the_zone_across_180_degrees_within_a_minute() -> None:
    area = kept_zone()
    ship = ship_named("RANGI EXPLORER")

    fixes = [ship.fix(moment) for moment in range(0, 60, 3)]
    inside = [area.covers(Point(fix.lon % 360, fix.lat)) for fix in fixes]

    assert not inside[0]
    assert inside[-1]
    assert fixes[0].lon > 179.9
    assert fixes[-1].lon < -179.9
    change = inside.index(True)
    assert abs(fixes[change].lon % 360 - 180) < 0.001  # the edge itself is at 180°
    assert DATE_LINE.length < 3


def test_the_zone_is_the_one_that_the_code_makes() -> None:
    kept = kept_zone()

    assert kept.symmetric_difference(zone.zone()).area < 0.001
    assert kept.bounds[2] > 190  # goes on behind 180°
    assert json.loads(ZONE.read_text())["features"][0]["properties"]["name"] == "New Zealand 400 nmi"


def test_the_zone_reaches_400_nautical_miles_from_the_capes() -> None:
    area = kept_zone()
    wgs84 = Geod(ellps="WGS84")

    nearest = min(
        wgs84.inv(lon, lat, *zone.KERMADECS[0])[2] / 1852
        for lon, lat in area.exterior.coords
        if lat > -25 and lon > 181
    )

    assert nearest == pytest.approx(400, abs=0.1)


def test_a_silent_ship_says_nothing_and_comes_back() -> None:
    ship = ship_named("MATANGI")
    traffic = Traffic([ship], BEGAN)

    spoke = {int(moment) for moment in range(0, 400, 10) if traffic.until(float(moment))}

    assert ship.silence == Silence(300.0, 30.0, 200.0)
    assert not [moment for moment in spoke if 40 <= moment < 200]
    assert [moment for moment in spoke if 200 <= moment < 300]


def test_positions_of_both_classes_decode_to_what_the_ship_did() -> None:
    for name, kind in (("RANGI EXPLORER", 1), (next(s.name for s in make_fleet(1) if s.vessel_class == "B"), 18)):
        ship = ship_named(name)

        (line,) = position_sentences(ship, 30.0, BEGAN, 1)
        message = decode(payload(line)).asdict()

        fix = ship.fix(30.0)
        assert message["msg_type"] == kind
        assert message["mmsi"] == ship.mmsi
        assert (message["lon"], message["lat"]) == pytest.approx((fix.lon, fix.lat), abs=2e-6)
        assert message["speed"] == pytest.approx(fix.speed, abs=0.05)
        assert message["second"] == 30


def test_static_messages_decode_to_what_the_ship_is() -> None:
    ferry = ship_named("STRAIT LINK")

    lines = static_sentences(ferry, 0.0, BEGAN, 3)
    message = decode(*[payload(line) for line in lines]).asdict()

    assert len(lines) == 2
    assert (message["shipname"], message["imo"], message["ship_type"]) == ("STRAIT LINK", ferry.imo, 60)
    assert (message["to_bow"], message["to_stern"]) == (90, 91)
    assert ferry.length == 181


def test_each_sentence_carries_its_time() -> None:
    (line,) = position_sentences(ship_named("STRAIT RUNNER"), 90.0, BEGAN, 0)

    assert f",c:{int(BEGAN.timestamp()) + 90}*" in line


def test_after_a_pause_of_a_day_the_rhythm_goes_on_without_the_backlog() -> None:
    traffic = Traffic(make_fleet(1), BEGAN)

    traffic.skip_to(86_400.0)
    lines = traffic.until(86_410.0)

    assert 20 < len(lines) < 400


def test_a_newcomer_is_told_about_every_transmitting_ship() -> None:
    fleet = make_fleet(1)

    lines = Traffic(fleet, BEGAN).everything(0.0)

    assert len(lines) >= 2 * len(fleet)
