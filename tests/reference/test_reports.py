"""What the reference hears in files: vessels, places, times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reference.reports import (
    Columns,
    Report,
    microseconds,
    parse_source,
    read_csv,
    read_nmea,
    read_sources,
)
from tests.reference.tracks import MMSI, at, checksum, encoded, position, static, tagged, text


def heard(content: str) -> list[Report]:
    return list(read_nmea(content, 0))


@pytest.mark.parametrize("msg_type", [1, 2, 3, 18, 19])
def test_a_position_has_the_time_of_its_tag_block(msg_type: int) -> None:
    reports = heard(text(position(1.5, 179.5, -18.25, msg_type=msg_type)))

    assert [(r.time, r.mmsi, r.place) for r in reports] == [(microseconds(at(1.5)), MMSI, (179.5, -18.25))]


def test_a_long_range_report_is_a_position() -> None:
    reports = heard(text(position(0, 179.5, -18.25, msg_type=27)))

    assert reports[0].place == (179.5, -18.25)


def test_a_tag_block_in_seconds_counts_seconds() -> None:
    block = "c:1735689600"

    reports = heard(f"\\{block}*{checksum(block)}\\{encoded(msg_type=1, mmsi=MMSI, lon=1, lat=1)[0]}\n")

    assert reports[0].time == microseconds(at(0))


def test_the_checksum_of_a_tag_block_is_not_asked() -> None:
    line = f"\\c:1735689600*00\\{encoded(msg_type=1, mmsi=MMSI, lon=1, lat=1)[0]}\n"

    assert heard(line)[0].time == microseconds(at(0))


def test_a_receiver_s_own_sentence_gives_the_time_to_all_sentences_of_the_message() -> None:
    body = "PGHP,1,2025,1,1,0,2,3,456,219,,2190067,1,62"
    sentences = "\n".join(encoded(msg_type=5, mmsi=MMSI, shipname="ENDEAVOUR"))

    reports = heard(f"${body}*{checksum(body)}\n{sentences}\n")

    assert [r.time for r in reports] == [microseconds(at(2)) + 3_456_000]


@pytest.mark.parametrize(("lon", "lat"), [(181, 91), (181, -18), (179, 91), (0, 0)], ids=["both", "lon", "lat", "0,0"])
def test_a_message_without_a_place_is_heard_all_the_same(lon: float, lat: float) -> None:
    reports = heard(text(position(0, lon, lat)))

    assert [(r.mmsi, r.place) for r in reports] == [(MMSI, None)]


def test_a_static_message_is_heard_without_a_place() -> None:
    assert [(r.mmsi, r.place) for r in heard(text(static(0)))] == [(MMSI, None)]


@pytest.mark.parametrize("mmsi", [2190067, 111232506, 970010001, 972010001, 974010001, 979010001, 992190917, 0])
def test_what_is_not_a_vessel_is_not_heard(mmsi: int) -> None:
    assert heard(text(position(0, 1, 1, mmsi=mmsi))) == []


@pytest.mark.parametrize("mmsi", [982190917, 100000001, 800000001, 971000001, 21900001])
def test_every_other_number_is_a_vessel(mmsi: int) -> None:
    assert [r.mmsi for r in heard(text(position(0, 1, 1, mmsi=mmsi)))] == [mmsi]


def test_a_wrong_checksum_is_not_heard() -> None:
    assert heard(text(position(0, 1, 1)).replace("!AIVDM,1,1,,A", "!AIVDM,1,1,,B")) == []


def test_a_message_without_its_second_half_is_not_heard() -> None:
    first, second = encoded(msg_type=5, mmsi=MMSI, shipname="ENDEAVOUR")

    assert heard(text(tagged([first], at(0)), position(1, 1, 1, mmsi=MMSI + 1))) != []
    assert heard(text(tagged([first], at(0)))) == []
    assert heard(text(tagged([second], at(0)))) == []


def test_a_message_without_a_time_is_not_heard() -> None:
    assert heard("\n".join(encoded(msg_type=1, mmsi=MMSI, lon=1, lat=1))) == []


def test_columns_of_marine_cadastre_are_known() -> None:
    header = "MMSI,BaseDateTime,LAT,LON,SOG\n"

    reports = list(read_csv(header + "338148873,2025-01-01T00:01:00,33.5,-117.5,0.0\n", 3))

    assert reports == [Report(microseconds(at(1)), 338148873, 3, (-117.5, 33.5), None)]


def test_columns_of_the_danish_authority_are_known_and_their_91_0_is_no_place() -> None:
    header = "# Timestamp,Type of mobile,MMSI,Latitude,Longitude\n"
    rows = (
        "01/01/2025 00:01:00,Class A,219472000,91,0\n"
        "01/01/2025 00:02:00,Base Station,2190064,56,11\n"
        "01/01/2025 00:03:00,Class A,219007401,57.123,8.5\n"
    )

    reports = list(read_csv(header + rows, 0))

    assert [(r.mmsi, r.place) for r in reports] == [(219472000, None), (219007401, (8.5, 57.123))]


def test_a_file_s_own_ship_numbers_are_vessels() -> None:
    columns = Columns("ID", "when", "x", "y", "%d/%m/%Y %H:%M")

    reports = list(read_csv("ID,when,x,y\n7,01/01/2025 00:04,32.5,30.5\n", 0, columns))

    assert reports == [Report(microseconds(at(4)), 7, 0, (32.5, 30.5), None)]


@pytest.mark.parametrize(
    "row",
    ["x,2025-01-01T00:00:00,1,1", "219000001,yesterday,1,1", "219000001,2025-01-01T00:00:00,north,1", ","],
)
def test_a_garbled_row_is_not_heard_and_stops_nothing(row: str) -> None:
    header = "MMSI,BaseDateTime,LAT,LON\n"

    reports = list(read_csv(f"{header}{row}\n219000002,2025-01-01T00:00:00,1,1\n", 0))

    assert [r.mmsi for r in reports] == [219000002]


def test_files_are_merged_by_time_then_by_their_order(tmp_path: Path) -> None:
    header = "MMSI,BaseDateTime,LAT,LON\n"
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(header + "219000001,2025-01-01T00:02:00,1,1\n219000002,2025-01-01T00:01:00,1,1\n")
    second.write_text(header + "219000003,2025-01-01T00:01:00,1,1\n219000004,2025-01-01T00:00:00,1,1\n")

    reports = read_sources([parse_source(f"csv+file:{first}"), parse_source(str(second))])

    assert [(r.mmsi % 10, r.feed) for r in reports] == [(4, 1), (2, 0), (3, 1), (1, 0)]


def test_a_source_names_its_columns() -> None:
    source = parse_source("csv+file:a/b.csv?mmsi=ID&time=t&lon=x&lat=y&time_format=%d/%m/%Y %H:%M")

    assert source.path == Path("a/b.csv")
    assert source.columns == Columns("ID", "t", "x", "y", "%d/%m/%Y %H:%M")
