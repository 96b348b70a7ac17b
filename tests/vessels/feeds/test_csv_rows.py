"""Rows of CSV files: headers, values, what is refused."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vessels.feeds import SourceError, csv_values, parse_source, read_bounded
from vessels.feeds.sources import CsvFile
from vessels.reports import Batch

AMERICAN = (
    "MMSI,BaseDateTime,LAT,LON,SOG,COG,Heading,VesselName,IMO,CallSign,VesselType,Status,Length,Width,Draft,Cargo,"
    "TransceiverClass"
)
DANISH = (
    "# Timestamp,Type of mobile,MMSI,Latitude,Longitude,Navigational status,ROT,SOG,COG,Heading,IMO,Callsign,Name,"
    "Ship type,Cargo type,Width,Length,Type of position fixing device,Draught,Destination,ETA,Data source type,A,B,C,D"
)


def read(folder: Path, *lines: str, options: str = "", start: datetime | None = None) -> Batch:
    path = folder / "rows.csv"
    path.write_bytes(("\n".join(lines) + "\n").encode())
    source = parse_source(f"csv+file:{path}{options}")
    assert isinstance(source, CsvFile)
    return read_bounded(source, start=start, feed=0)


def micros(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 10**6  # type: ignore[misc,arg-type]


def counts(batch: Batch) -> dict[str, int]:
    return {kind: r.count for kind, r in batch.rejected.items()}


def danish(**cells: str) -> str:
    row = dict.fromkeys(DANISH.split(","), "")
    row |= {
        "# Timestamp": "18/03/2023 00:00:00", "Type of mobile": "Class A", "MMSI": "219000001",
        "Latitude": "55.5", "Longitude": "12.5", "IMO": "Unknown",
    }  # fmt: skip
    return ",".join((row | {k.replace("_", " "): v for k, v in cells.items()}).values())


def test_american_columns_are_recognised(tmp_path: Path) -> None:
    row = "367379190,2022-01-03T00:00:01,30.5,-88.25,10.2,336.2,511,EAGLE,IMO8207721,WTD4583,31,0,28,11,3.3,52,A"

    batch = read(tmp_path, AMERICAN, row)

    got = batch.rows[0]
    assert (got["mmsi"], got["time"]) == (367379190, micros(2022, 1, 3, 0, 0, 1))
    assert (got["lon"], got["lat"], got["status"], got["vessel_class"]) == (-88.25, 30.5, 0, b"A")
    assert np.isnan(got["heading"])
    assert (got["message_type"], got["payload"], got["ordinal"]) == (0, 0, 1)
    (static,) = batch.statics
    assert (static.name, static.call_sign, static.imo, static.ship_type) == ("EAGLE", "WTD4583", 8207721, 31)
    assert (static.length_m, static.beam_m, static.draught_m) == (28, 11, 3.3)


def test_danish_columns_are_recognised_with_their_day_first_times_and_words(tmp_path: Path) -> None:
    row = danish(
        Navigational_status="At anchor", Ship_type="Tanker", Name="ADVANCER", Callsign="OWMI2", IMO="9686429"
    )  # fmt: skip

    batch = read(tmp_path, DANISH, row)

    assert batch.rows["time"][0] == micros(2023, 3, 18)
    assert (batch.rows["status"][0], batch.rows["vessel_class"][0]) == (1, b"A")
    (static,) = batch.statics
    assert (static.name, static.ship_type, static.imo) == ("ADVANCER", 80, 9686429)


def test_unknown_is_not_said(tmp_path: Path) -> None:
    batch = read(tmp_path, DANISH, danish(Navigational_status="Unknown value", Ship_type="Undefined", Name="Unknown"))

    assert batch.rows["status"][0] == -1
    assert not batch.statics


@pytest.mark.parametrize(
    ("mobile", "mmsi", "kind"),
    [("Base Station", "2190064", "base_station"), ("AtoN", "992191234", "aid_to_navigation")],
)
def test_other_stations_in_danish_files_are_not_vessels(tmp_path: Path, mobile: str, mmsi: str, kind: str) -> None:
    batch = read(tmp_path, DANISH, danish(Type_of_mobile=mobile, MMSI=mmsi))

    assert len(batch) == 0
    assert counts(batch) == {f"not_a_vessel:{kind}": 1}


def test_the_number_decides_what_is_a_vessel_whatever_the_mobile_is_called(tmp_path: Path) -> None:
    batch = read(tmp_path, DANISH, danish(Type_of_mobile="Base Station", MMSI="219000001"))

    assert np.isnan(batch.rows["lon"]).tolist() == [False]
    assert batch.rows["vessel_class"].tolist() == [b""]


def test_the_danish_position_that_is_not_available_stays_a_hearing(tmp_path: Path) -> None:
    batch = read(tmp_path, DANISH, danish(Latitude="91", Longitude="0"))

    assert np.isnan(batch.rows["lon"]).tolist() == [True]
    assert counts(batch) == {"no_position": 1}


def test_a_short_number_is_a_files_own_ship_number(tmp_path: Path) -> None:
    batch = read(tmp_path, "mmsi,time,lon,lat", "0,2022-01-03,1,2", "256,2022-01-03,1,2", "12345,2022-01-03,1,2")

    assert batch.rows["mmsi"].tolist() == [0, 256, 12345]


@pytest.mark.parametrize("mmsi", ["", "abc", "-5", "1.5", "99999999999", "2190000011"])
def test_what_is_no_mmsi_is_counted(tmp_path: Path, mmsi: str) -> None:
    assert counts(read(tmp_path, "mmsi,time,lon,lat", f"{mmsi},2022-01-03,1,2")) == {"bad_mmsi": 1}


def test_a_mapping_names_columns_and_the_form_of_times(tmp_path: Path) -> None:
    batch = read(
        tmp_path, "\ufeffID,ais_pos_timestamp,x,y", "1,20/03/2021 00:22,32.5,31.5",
        options="?mmsi=ID&time=ais_pos_timestamp&lon=x&lat=y&time_format=%d/%m/%Y %H:%M",
    )  # fmt: skip

    assert batch.rows["time"].tolist() == [micros(2021, 3, 20, 0, 22)]
    assert batch.rows["lon"].tolist() == [32.5]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_seen_in_the_header(tmp_path: Path, delimiter: str) -> None:
    lines = ["mmsi,time,lon,lat", "219000001,2022-01-03,1,2"]

    assert len(read(tmp_path, *[line.replace(",", delimiter) for line in lines])) == 1


def test_quoted_cells_may_hold_the_delimiter_and_a_stray_quote_spoils_one_row(tmp_path: Path) -> None:
    batch = read(
        tmp_path, '"mmsi","time","lon","lat","name"', '219000001,2022-01-03,1,2,"SMITH, JONES"',
        '219000002,2022-01-03,1,2,"UNFINISHED', "219000003,2022-01-03,1,2,FINE",
    )  # fmt: skip

    assert batch.rows["mmsi"].tolist() == [219000001, 219000002, 219000003]
    assert [s.name for s in batch.statics] == ["SMITH, JONES", "UNFINISHED", "FINE"]


def test_bad_rows_are_counted_and_sampled(tmp_path: Path) -> None:
    batch = read(
        tmp_path, "mmsi,time,lon,lat", "219000001", "219000001,yesterday,1,2", "219000001,2022-01-03,east,2",
        "219000001,2022-01-03,1,95", "219000001,2022-01-03,,", "219000001,2022-01-03,0,0", "",
        "219000001,2022-01-03,1,2",
    )  # fmt: skip

    assert counts(batch) == {"bad_row": 2, "bad_time": 1, "bad_position": 1, "no_position": 1, "null_island": 1}
    assert batch.rejected["bad_time"].sample == "219000001,yesterday,1,2"
    assert len(batch) == 4


def test_a_missing_column_names_those_present(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no column for mmsi; the file has ID, time, lon, lat.*mmsi=COLUMN"):
        read(tmp_path, "ID,time,lon,lat", "1,2022-01-03,1,2")


def test_a_mapping_to_no_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"mmsi=ship names no column; the file has ID, time"):
        read(tmp_path, "ID,time,lon,lat", options="?mmsi=ship")


def test_times_that_nowhere_can_be_read_are_an_error_that_shows_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"time_format=.*20/03/2021"):
        read(tmp_path, "mmsi,time,lon,lat", "219000001,20/03/2021 00:22,1,2")


def test_a_file_without_a_time_column_needs_a_start(tmp_path: Path) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)

    assert read(tmp_path, "mmsi,lon,lat", "219000001,1,2", start=start).rows["time"].tolist() == [micros(2020, 1, 1)]
    with pytest.raises(SourceError, match="no column for time"):
        read(tmp_path, "mmsi,lon,lat", "219000001,1,2")


def test_statics_come_only_when_they_change(tmp_path: Path) -> None:
    rows = [f"219000001,2022-01-03T00:00:0{n},1,2,{name}" for n, name in enumerate(["A", "A", "B", "B", "A"])]

    batch = read(tmp_path, "mmsi,time,lon,lat,name", *rows)

    assert [(s.row, s.name) for s in batch.statics] == [(0, "A"), (2, "B"), (4, "A")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-01-03T00:00:01", micros(2022, 1, 3, 0, 0, 1)),
        ("2022-01-03 00:00:01.250", micros(2022, 1, 3, 0, 0, 1) + 250_000),
        ("2022-01-03T00:00:01Z", micros(2022, 1, 3, 0, 0, 1)),
        ("2022-01-03T02:00:01+02:00", micros(2022, 1, 3, 0, 0, 1)),
        ("2022-01-03 00:00:01 UTC", micros(2022, 1, 3, 0, 0, 1)),
        ("1641168001", micros(2022, 1, 3, 0, 0, 1)),
        ("1641168001250", micros(2022, 1, 3, 0, 0, 1) + 250_000),
        ("noon", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9" * 300, None),
    ],
)
def test_times_are_utc_unless_they_say_a_zone(text: str, expected: int | None) -> None:
    assert csv_values.microseconds(text, None) == expected


@given(st.binary(max_size=300), st.sampled_from([AMERICAN, DANISH, "mmsi;time;lon;lat"]))
def test_no_bytes_after_the_header_make_it_raise_anything_but_a_source_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, header: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.csv"
    path.write_bytes(header.encode() + b"\n" + noise + b"\n219000001,2022-01-03T00:00:00,1,2\n")
    source = parse_source(f"csv+file:{path}")
    assert isinstance(source, CsvFile)

    with suppress(SourceError):
        read_bounded(source, start=None, feed=0)
