"""The watch from files to stored events equals the naive reference in `tests/reference`, exactly."""

from __future__ import annotations

import io
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import Organisation
from tests.reference.evaluate import Event as Expected
from tests.reference.evaluate import canonical, evaluate
from tests.reference.made_areas import busy_places, made_areas
from tests.reference.reports import Report, parse_source, read_sources
from tests.reference.tracks import at, line_of_positions, position, static, steps, tagged, text
from vessels.areas import AreaContent, area_save, stored_geometry
from vessels.models import AreaUse, Event

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TIMES = ("occurred_at", "not_before", "not_after")
Areas = Mapping[str, Any]
Durations = Mapping[str, Sequence[timedelta]]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]


def data(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no real data: {path} is absent")
    return path


def nmea(name: str) -> str:
    return f"nmea+file:{data(name)}"


def minutes(*counts: float) -> list[timedelta]:
    return [timedelta(minutes=count) for count in counts]


# --- the product's side ---


def watched(sources: Sequence[str], areas: Areas, durations: Durations) -> list[Expected]:
    """What the product stores when it watches these sources once."""
    organisation = Organisation.objects.create(slug="moana", name="Moana Watch")
    for name, geometry in areas.items():
        use_area(organisation, name, geometry, durations.get(name, ()))
    call_command("watch", *sources, "--once")
    lines = io.StringIO()
    call_command("export", "events", "--format", "jsonl", stdout=lines)
    return sorted((exported(json.loads(line)) for line in lines.getvalue().splitlines()), key=canonical)


def use_area(
    organisation: Organisation, name: str, geometry: Mapping[str, Any], durations: Sequence[timedelta]
) -> None:
    now = timezone.now()
    content = AreaContent(name=name, geometry=stored_geometry(geometry.get("geometries", geometry)))
    area, _ = area_save(organisation=organisation, content=content, at=now)
    for duration in (None, *durations):
        AreaUse.objects.create(area=area, duration=duration, since=now)


def exported(row: Mapping[str, Any]) -> Expected:
    """A line of the export with its times as times, without what depends on our own clock and versions."""
    same = {name: row[name] for name in ("kind", "mmsi", "area", "lon", "lat")}
    seconds = row["duration_seconds"]  # 600 and 600.0 are one duration
    times = {name: row[name] and datetime.fromisoformat(row[name]) for name in TIMES}
    return same | times | {"duration_seconds": None if seconds is None else float(seconds)}


# --- the comparison ---


@lru_cache(maxsize=3)
def reports_of(*sources: str) -> list[Report]:
    return read_sources([parse_source(source) for source in sources])


def assert_equal(sources: Sequence[str], areas: Areas, durations: Durations, *, kinds: set[str]) -> None:
    """Both say the same of these sources, and something of every kind, so that the agreement means something."""
    expected = evaluate(reports_of(*sources), areas, durations)

    found = watched(sources, areas, durations)

    missed, invented = difference(expected, found), difference(found, expected)
    assert not missed, f"{len(missed)} of {len(expected)} missed, {len(invented)} invented; first: {missed[:3]}"
    assert not invented, f"{len(invented)} invented beside {len(expected)}; first: {invented[:3]}"
    assert found == expected
    assert {event["kind"] for event in found} >= kinds


def difference(these: list[Expected], those: list[Expected]) -> list[Expected]:
    """Events of these that those have not, counted with their repetitions."""
    left: dict[str, int] = defaultdict(int)
    for event in those:
        left[as_text(event)] += 1
    missing = []
    for event in these:
        left[as_text(event)] -= 1
        if left[as_text(event)] < 0:
            missing.append(event)
    return missing


def as_text(event: Expected) -> str:
    return json.dumps(event, default=str, sort_keys=True)


def areas_of(sources: Sequence[str], *, cell: float, count: int) -> dict[str, Any]:
    return made_areas(busy_places(reports_of(*sources), cell=cell, count=count), size=cell)


def in_turn(areas: Areas, *choices: list[timedelta]) -> dict[str, list[timedelta]]:
    """Each area its durations, the choices one after another."""
    return {name: choices[index % len(choices)] for index, name in enumerate(areas)}


ALL_KINDS = {"entered", "exited", "appeared", "missing", "resumed"}


# --- real files ---


@pytest.mark.parametrize("name", ["denmark_20131112_gatehouse.nmea", "denmark_20131112_tagblock.nmea"])
def test_denmark_s_five_minutes(name: str) -> None:
    areas = areas_of([nmea(name)], cell=0.05, count=40) | areas_of([nmea(name)], cell=0.005, count=40)
    durations = in_turn(areas, minutes(0.25), minutes(0.5, 2), minutes(), minutes(3.5))

    assert_equal([nmea(name)], areas, durations, kinds=ALL_KINDS)


def test_the_same_five_minutes_from_two_receivers_at_once() -> None:
    sources = [nmea("denmark_20131112_tagblock.nmea"), nmea("denmark_20131112_gatehouse.nmea")]
    areas = areas_of(sources[:1], cell=0.05, count=30)
    durations = in_turn(areas, minutes(0.25), minutes(0.5, 2))

    assert_equal(sources, areas, durations, kinds=ALL_KINDS)


def test_norway_s_thirty_seconds() -> None:
    sources = [nmea("norway_20190807.nmea")]
    areas = areas_of(sources, cell=0.5, count=30)
    durations = in_turn(areas, minutes(0.05), minutes(0.1, 0.25))

    assert_equal(sources, areas, durations, kinds={"appeared", "missing"})


def test_a_drifting_vessel_alone_on_its_feed() -> None:
    sources = [nmea("drift_212123000.nmea")]
    areas = areas_of(sources, cell=0.004, count=30) | areas_of(sources, cell=0.05, count=8)
    durations = in_turn(areas, minutes(0.5), minutes(1, 5), minutes(11), minutes())

    assert_equal(sources, areas, durations, kinds={"entered", "exited", "missing", "resumed"})


def test_a_day_of_the_united_states() -> None:
    sources = [f"csv+file:{data('marinecadastre_20220103.csv')}"]
    areas = areas_of(sources, cell=0.1, count=30) | areas_of(sources, cell=0.01, count=30)
    durations = in_turn(areas, minutes(10), minutes(10, 60), minutes(), minutes(60, 360))

    assert_equal(sources, areas, durations, kinds=ALL_KINDS)


def test_the_suez_canal_with_its_own_columns() -> None:
    columns = "mmsi=ID&time=ais_pos_timestamp&lon=longitude&lat=latitude&time_format=%d/%m/%Y %H:%M"
    sources = [f"csv+file:{data('suez_202103.csv')}?{columns}"]
    areas = areas_of(sources, cell=0.1, count=20) | areas_of(sources, cell=0.01, count=20)
    durations = in_turn(areas, minutes(10), minutes(60, 360), minutes())

    assert_equal(sources, areas, durations, kinds=ALL_KINDS)


def test_rows_of_the_danish_authority() -> None:
    sources = [f"csv+file:{data('dma_rows_20230318.csv')}"]

    assert_equal(sources, areas_of(sources, cell=2.0, count=10), {}, kinds={"appeared"})


def test_files_of_different_kinds_in_one_command() -> None:
    sources = [
        nmea("drift_212123000.nmea"),
        f"csv+file:{data('marinecadastre_20220103.csv')}",
        nmea("norway_20190807.nmea"),
    ]
    areas = areas_of(sources[:1], cell=0.02, count=8) | areas_of(sources[1:2], cell=0.05, count=9)
    durations = in_turn(areas, minutes(10), minutes(5, 60))

    assert_equal(sources, areas, durations, kinds=ALL_KINDS)


# --- the Pacific ---


def zones() -> dict[str, Any]:
    """The real exclusive economic zones by name, and New Zealand's zones by distance."""
    named: dict[str, list[Any]] = defaultdict(list)
    for name, key in (("pacific_eez_0_360.geojson", "geo_pict"), ("nz_zones_0_360.geojson", "dist_nm")):
        for feature in json.loads(data(name).read_text())["features"]:
            named[f"zone {feature['properties'][key]}"].append(feature["geometry"])
    return {name: {"type": "GeometryCollection", "geometries": parts} for name, parts in named.items()}


# Longitudes east of 180 as they run on: from Fiji, Tuvalu, Kiribati, Wallis and Futuna, New Zealand's zones.
VOYAGES = [
    ((172.0, -17.0), (192.0, -17.5)),
    ((192.0, -16.0), (172.0, -20.0)),
    ((176.0, -8.0), (184.0, -6.0)),
    ((179.2, -2.0), (180.8, -14.0)),
    ((180.0, -3.0), (180.0, -25.0)),
    ((168.0, 1.0), (190.0, -4.0)),
    ((165.0, -40.0), (195.0, -44.0)),
    ((178.0, -32.0), (184.0, -50.0)),
    ((172.0, -46.0), (172.0, -30.0)),
    ((186.0, -10.0), (178.0, -16.5)),
]


def voyage_lines() -> Iterator[list[str]]:
    """Every voyage at about 40 knots; stretches left out make gaps, some with static messages inside."""
    for number, (start, end) in enumerate(VOYAGES):
        count = round(max(abs(end[0] - start[0]), abs(end[1] - start[1])) * 12)
        for index, (lon, lat) in enumerate(steps(start, end, count)):
            when, mmsi = 7.5 * index + number / 10, 512000100 + number
            if index % 40 < 28:
                yield position(when, lon, lat, mmsi=mmsi)
            elif index % 40 == 32 and number % 2:
                yield static(when, mmsi=mmsi)


def test_voyages_across_180_through_the_real_zones(tmp_path: Path) -> None:
    file = tmp_path / "pacific.nmea"
    file.write_text(text(*voyage_lines()))
    areas = zones()
    durations = in_turn(areas, minutes(20, 60), minutes(45), minutes(5))

    assert_equal([f"nmea+file:{file}"], areas, durations, kinds=ALL_KINDS)


def test_vessels_exactly_on_the_corners_of_the_real_zones(tmp_path: Path) -> None:
    areas = zones()
    places = [place for area in areas.values() for place in corners(area)]
    rows = [f"{300000000 + number},2025-01-01T00:00:00,{lat!r},{lon!r}" for number, (lon, lat) in enumerate(places)]
    file = tmp_path / "corners.csv"
    file.write_text("\n".join(["MMSI,BaseDateTime,LAT,LON", *rows]) + "\n")

    assert_equal([f"csv+file:{file}"], areas, {}, kinds={"appeared"})
    assert Event.objects.values("mmsi").distinct().count() == len(places)


def corners(area: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """Some corners of every ring, in longitudes −180…180."""
    for geometry in area["geometries"]:
        parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        for ring in (ring for part in parts for ring in part):
            for lon, lat in ring[:: max(1, len(ring) // 25)]:
                yield western(lon), lat


def western(lon: float) -> float:
    """What one would type: with no more decimals than the corner has, else to the bit."""
    if lon <= 180:
        return lon
    return round(lon - 360, 12) if round(lon, 12) == lon else lon - 360


# Longitudes 178…182 written in three ways, with a hole across 180 and two on one side.
ACROSS_180: dict[str, Any] = {
    "0 to 360": [
        [[178, -20], [182, -20], [182, -16], [178, -16], [178, -20]],
        [[179.5, -18.5], [180.5, -18.5], [180.5, -17.5], [179.5, -17.5], [179.5, -18.5]],
        [[180.75, -18.5], [181, -18.5], [181, -17.5], [180.75, -17.5], [180.75, -18.5]],
        [[181.25, -18.5], [181.5, -18.5], [181.5, -17.5], [181.25, -17.5], [181.25, -18.5]],
    ],
    "-180 to 180": [
        [[178, -20], [-178, -20], [-178, -16], [178, -16], [178, -20]],
        [[179.5, -18.5], [-179.5, -18.5], [-179.5, -17.5], [179.5, -17.5], [179.5, -18.5]],
        [[-179.25, -18.5], [-179, -18.5], [-179, -17.5], [-179.25, -17.5], [-179.25, -18.5]],
    ],
    "ends at 180": [[[178, -20], [180, -20], [180, -16], [178, -16], [178, -20]]],
    "begins at -180": [[[-180, -20], [-178, -20], [-178, -16], [-180, -16], [-180, -20]]],
    "begins at 180": [[[180, -20], [182, -20], [182, -16], [180, -16], [180, -20]]],
}


def across_180() -> dict[str, Any]:
    return {name: {"type": "Polygon", "coordinates": rings} for name, rings in ACROSS_180.items()}


@pytest.mark.parametrize("lat", [-18.0, -17.5, -16.0, -20.0, -18.25])
def test_boxes_and_holes_across_180_and_their_boundaries(tmp_path: Path, lat: float) -> None:
    there = steps((177.5, lat), (182.5, lat), 40)
    file = tmp_path / "line.nmea"
    file.write_text(text(*line_of_positions([*there, *reversed(there)], every=10)))

    assert_equal([f"nmea+file:{file}"], across_180(), {}, kinds={"entered", "exited"})


# --- small tracks that only one rule decides ---


def track_of_suspects() -> Iterator[list[str]]:
    for number in range(60):
        mmsi, bad = 512000200 + number, 1 + number % 5
        for index in range(12):
            lat = -17.0 if index in (bad, bad + 1 + number // 20) else -18.0
            yield position(index * (4 + number % 7), 178.2 + index / 100, lat, mmsi=mmsi)
        yield position(80 + number, 178.5, -16.5 + number / 60, mmsi=mmsi)


def test_jumps_and_suspects_with_gaps_between(tmp_path: Path) -> None:
    south = {"type": "Polygon", "coordinates": [[[178, -19], [180, -19], [180, -17.5], [178, -17.5], [178, -19]]]}
    north = {"type": "Polygon", "coordinates": [[[178, -17.5], [180, -17.5], [180, -16], [178, -16], [178, -17.5]]]}
    file = tmp_path / "suspects.nmea"
    file.write_text(text(*track_of_suspects()))
    areas = {"south": south, "north": north}

    assert_equal([f"nmea+file:{file}"], areas, in_turn(areas, minutes(3, 5, 9)), kinds=ALL_KINDS)


def test_reports_of_one_vessel_in_one_moment_are_taken_in_their_order(tmp_path: Path) -> None:
    south, north = 0.9985, 1.0015
    places = [(0, south), (2, south), (2, north), (2, south), (3, north), (3, south), (5, north)]
    file = tmp_path / "moment.nmea"
    file.write_text(text(*(position(when, 1, lat, second=index) for index, (when, lat) in enumerate(places))))
    areas = {"box": {"type": "Polygon", "coordinates": [[[0, 1], [2, 1], [2, 2], [0, 2], [0, 1]]]}}

    assert_equal([f"nmea+file:{file}"], areas, {}, kinds={"entered", "exited"})


def test_a_feed_that_fell_silent_suspends_missing_only_for_what_it_heard(tmp_path: Path) -> None:
    box = {"box": {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]}}
    one, two = tmp_path / "one.nmea", tmp_path / "two.nmea"
    one.write_text(
        text(
            position(0, 1, 1, mmsi=512000301),
            position(3, 1.01, 1, mmsi=512000302),
            *(position(when, 10, 10, mmsi=512000310) for when in (4, 8, 30, 35, 39, 60)),
        )
    )
    two.write_text(
        text(
            position(1, 1, 1.01, mmsi=512000303),
            position(5, 1.01, 1.01, mmsi=512000302),
            *(position(when, 11, 11, mmsi=512000311) for when in range(9, 70, 9)),
            position(66, 1, 1, mmsi=512000301),
        )
    )
    sources = [f"nmea+file:{one}", f"nmea+file:{two}"]

    assert_equal(sources, box, {"box": minutes(5, 12, 30)}, kinds={"appeared", "missing", "resumed"})


def test_rows_and_messages_together_with_ties(tmp_path: Path) -> None:
    box = {"box": {"type": "Polygon", "coordinates": [[[0, 1], [2, 1], [2, 2], [0, 2], [0, 1]]]}}
    messages, rows = tmp_path / "messages.nmea", tmp_path / "rows.csv"
    messages.write_text(text(position(4, 1, 0.9995), position(1, 1, 1.0005), position(0, 1, 0.9995)))
    times = [f"2025-01-01T00:0{minute}:00" for minute in (4, 2, 2, 0)]
    lines = [f"512000001,{time},{lat},1.0" for time, lat in zip(times, (1.0015, 0.998, 1.0015, 1.0015), strict=True)]
    rows.write_text("\n".join(["MMSI,BaseDateTime,LAT,LON", *lines, f"512000001,{at(6):%Y-%m-%dT%H:%M:%S},91,0"]))

    for sources in ([f"nmea+file:{messages}", f"csv+file:{rows}"],):
        assert_equal(sources, box, {"box": minutes(1)}, kinds={"entered", "exited"})


def soup(dice: random.Random, *, mmsi: int) -> Iterator[list[str]]:
    """One vessel that does everything: lingers on a boundary, jumps, agrees, repeats itself, falls silent."""
    when, lon, lat = dice.choice([0.0, 5.0, 60.0]), 179.99, -17.99
    for index in range(80):
        when += dice.choice([0, 1 / 60, 1 / 6, 0.5, 1, 2, 4, 10, 10, 11, 40])
        reach = dice.choice([0.001, 0.004, 0.004, 0.02, 1.0])
        lon = (lon + dice.uniform(-reach, reach) + 180) % 360 - 180
        lat = max(-19.5, min(-16.5, lat + dice.uniform(-reach, reach)))
        if dice.random() < 0.1:
            lon, lat = dice.choice([180, -180, 179.5, -179.5]), dice.choice([-18, -17.5, -18.25])
        message = position(when, lon, lat, mmsi=mmsi, second=index % 60, msg_type=dice.choice([1, 1, 3, 18, 19, 27]))
        yield dice.choice([message, message, message, message, static(when, mmsi=mmsi)])
        if dice.random() < 0.4:
            again = at(when + dice.choice([0, 1 / 60, 0.5, 1, 61 / 60, 3]))
            yield tagged([line.rpartition("\\")[2] for line in message], again)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_soup_of_everything_on_two_feeds(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    messages = [message for number in range(40) for message in soup(dice, mmsi=512000400 + number)]
    dice.shuffle(messages)
    files = tmp_path / "one.nmea", tmp_path / "two.nmea"
    files[0].write_text(text(*messages[: len(messages) // 3]))
    files[1].write_text(text(*messages[len(messages) // 3 :]))
    areas = across_180()

    assert_equal(
        [f"nmea+file:{file}" for file in files], areas, in_turn(areas, minutes(3, 9, 10), minutes(25)), kinds=ALL_KINDS
    )
