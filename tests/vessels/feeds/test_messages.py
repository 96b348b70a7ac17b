"""AIS messages into rows and statics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vessels.feeds.writing import NOON, ais
from vessels.feeds.messages import read_message
from vessels.feeds.rows import RowCollector
from vessels.feeds.sentences import Message, SentenceReader, Tag
from vessels.reports import Batch


def decode(*sentences: str) -> Batch:
    into = RowCollector(feed=3)
    reader = SentenceReader(into.rejected)
    for ordinal, line in enumerate(sentences):
        message = reader.read(line.encode())
        if message is not None:
            read_message(message, into=into, time=NOON, received_at=NOON + 1, ordinal=ordinal)
    return into.batch()


def counts(batch: Batch) -> dict[str, int]:
    return {kind: r.count for kind, r in batch.rejected.items()}


@pytest.mark.parametrize(("kind", "vessel_class"), [(1, b"A"), (2, b"A"), (3, b"A"), (18, b"B"), (19, b"B")])
def test_a_position_report_becomes_a_row(kind: int, vessel_class: bytes) -> None:
    batch = decode(*ais(type=kind, lon=12.5, lat=-55.25, speed=10.1, course=90.5, heading=91))

    row = batch.rows[0]
    assert (row["lon"], row["lat"], row["mmsi"], row["message_type"]) == (12.5, -55.25, 219000001, kind)
    assert (row["speed"], row["course"], row["heading"]) == pytest.approx((10.1, 90.5, 91), rel=1e-6)
    assert (row["vessel_class"], row["feed"], row["time"], row["received_at"]) == (vessel_class, 3, NOON, NOON + 1)


def test_a_long_range_report_becomes_a_row_without_a_heading() -> None:
    row = decode(*ais(type=27, lon=-10.5, lat=45.25, speed=12, course=200, status=5)).rows[0]

    assert (row["lon"], row["lat"], row["speed"], row["course"], row["status"]) == (-10.5, 45.25, 12, 200, 5)
    assert np.isnan(row["heading"])
    assert row["vessel_class"] == b""


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"type": 1, "speed": 102.3}, "speed"),
        ({"type": 1, "course": 360}, "course"),
        ({"type": 1, "heading": 511}, "heading"),
        ({"type": 18, "speed": 102.3}, "speed"),
        ({"type": 27, "speed": 63}, "speed"),
        ({"type": 27, "course": 511}, "course"),
    ],
)
def test_what_is_not_available_is_nan(fields: dict[str, Any], column: str) -> None:
    row = decode(*ais(**{"lon": 1, "lat": 2, **fields})).rows[0]

    assert np.isnan(row[column])
    assert not np.isnan(row["lon"])


@pytest.mark.parametrize(("said", "kept"), [(0, 0), (5, 5), (15, -1)])
def test_navigational_status_15_is_not_available(said: int, kept: int) -> None:
    assert decode(*ais(type=1, lon=1, lat=2, status=said)).rows["status"][0] == kept


@pytest.mark.parametrize(
    ("lon", "lat", "kind"),
    [(181, 91, "no_position"), (12, 91, "no_position"), (0, 0, "null_island"), (200, 10, "bad_position")],
)
def test_a_report_without_a_place_stays_as_a_hearing(lon: float, lat: float, kind: str) -> None:
    batch = decode(*ais(type=1, lon=lon, lat=lat))

    assert np.isnan(batch.rows["lon"]).all()
    assert np.isnan(batch.rows["lat"]).all()
    assert len(batch) == 1
    assert counts(batch) == {kind: 1}


@pytest.mark.parametrize(
    ("mmsi", "kind"),
    [
        (2190067, "coast_station"),
        (111219501, "sar_aircraft"),
        (970123456, "sart"),
        (972123456, "man_overboard"),
        (974123456, "epirb"),
        (979123456, "locating_device"),
        (992191234, "aid_to_navigation"),
    ],
)
def test_what_is_not_a_vessel_is_counted_by_kind(mmsi: int, kind: str) -> None:
    batch = decode(*ais(type=1, mmsi=mmsi, lon=1, lat=2))

    assert len(batch) == 0
    assert counts(batch) == {f"not_a_vessel:{kind}": 1}


def test_auxiliary_craft_are_vessels() -> None:
    assert len(decode(*ais(type=18, mmsi=982191234, lon=1, lat=2))) == 1


@pytest.mark.parametrize("kind", [4, 9, 21])
def test_stations_messages_under_a_vessels_mmsi_are_hearings_without_a_place(kind: int) -> None:
    batch = decode(*ais(type=kind, lon=12, lat=55))

    assert batch.rows["message_type"].tolist() == [kind]
    assert np.isnan(batch.rows["lon"]).all()


def test_a_voyage_report_tells_who_the_vessel_is() -> None:
    sentences = ais(
        type=5, shipname="AURORA", callsign="OXYZ", imo=9007128, ship_type=61, to_bow=80, to_stern=31,
        to_port=8, to_starboard=9, draught=5.5, destination="ELSINORE",
    )  # fmt: skip

    batch = decode(*sentences)

    (static,) = batch.statics
    assert (static.row, static.mmsi, static.time) == (0, 219000001, NOON)
    assert (static.name, static.call_sign, static.imo, static.ship_type) == ("AURORA", "OXYZ", 9007128, 61)
    assert (static.length_m, static.beam_m, static.draught_m) == (111, 17, 5.5)
    assert static.destination == "ELSINORE"
    assert np.isnan(batch.rows["lon"]).all()


def test_zeros_and_empty_texts_are_not_said() -> None:
    (static,) = decode(*ais(type=5, shipname="", callsign="", imo=0, ship_type=0)).statics

    assert (static.name, static.call_sign, static.imo, static.ship_type) == (None,) * 4
    assert (static.length_m, static.beam_m, static.draught_m, static.destination) == (None,) * 4


def test_an_imo_number_with_a_wrong_check_digit_is_not_taken() -> None:
    (static,) = decode(*ais(type=5, shipname="AURORA", imo=9007129)).statics

    assert static.imo is None


def test_class_b_says_its_static_data_in_two_parts() -> None:
    name = ais(type=24, partno=0, shipname="SKIFF")
    rest = ais(type=24, partno=1, callsign="XPB12", ship_type=37, to_bow=5, to_stern=4, to_port=1, to_starboard=2)

    batch = decode(*name, *rest)

    first, second = batch.statics
    assert (first.name, first.call_sign) == ("SKIFF", None)
    assert (second.name, second.call_sign, second.ship_type) == (None, "XPB12", 37)
    assert (second.length_m, second.beam_m, second.row) == (9, 3, 1)


def test_an_auxiliary_crafts_mother_ship_is_not_its_size() -> None:
    (static,) = decode(*ais(type=24, partno=1, mmsi=982191234, callsign="X", mothership_mmsi=219000001)).statics

    assert static.length_m is None


def test_an_extended_class_b_report_has_a_place_and_a_name() -> None:
    batch = decode(*ais(type=19, lon=12, lat=55, shipname="SKIFF", ship_type=36, to_bow=5, to_stern=4))

    (static,) = batch.statics
    assert (static.name, static.ship_type, static.length_m) == ("SKIFF", 36, 9)
    assert batch.rows["lon"][0] == 12


def test_the_payload_hash_is_the_same_however_a_message_is_split() -> None:
    whole = Message(b"15M67FC000G?ufbE`FepT@3n00Sa", 0, Tag(), b"")
    shorter = Message(b"15M67FC000G?ufbE`FepT@3n00Sb", 0, Tag(), b"")
    other_fill = Message(b"15M67FC000G?ufbE`FepT@3n00Sa", 2, Tag(), b"")
    into = RowCollector(feed=0)

    for message in (whole, whole, shorter, other_fill):
        read_message(message, into=into, time=0, received_at=0, ordinal=0)

    hashes = into.batch().rows["payload"].tolist()
    assert hashes[0] == hashes[1] != 0
    assert len(set(hashes)) == 3


def test_a_message_cut_off_within_its_place_is_truncated() -> None:
    into = RowCollector(feed=0)

    read_message(Message(b"13@:`L001N0ded0O", 0, Tag(), b"raw"), into=into, time=0, received_at=0, ordinal=0)

    assert counts(into.batch()) == {"truncated": 1}


@given(st.binary(min_size=1, max_size=200), st.integers(0, 5))
def test_no_payload_makes_it_raise(payload: bytes, fill: int) -> None:
    armoured = bytes((b % 64) + (48 if b % 64 < 40 else 56) for b in payload)
    into = RowCollector(feed=0, keep_raw=True)

    read_message(Message(armoured, fill, Tag(), armoured), into=into, time=0, received_at=0, ordinal=0)

    batch = into.batch()
    assert len(batch) <= 1
    placed = batch.rows[~np.isnan(batch.rows["lon"])]
    assert (np.abs(placed["lon"]) <= 180).all()
    assert (np.abs(placed["lat"]) <= 90).all()


@given(st.sampled_from([1, 5, 9, 18, 19, 24, 27]), st.binary(min_size=18, max_size=60))
def test_no_payload_of_a_type_that_we_read_makes_it_raise(kind: int, payload: bytes) -> None:
    values = [kind, *(b % 64 for b in payload)]
    armoured = bytes(v + (48 if v < 40 else 56) for v in values)

    read_message(
        Message(armoured, 0, Tag(), armoured), into=RowCollector(feed=0), time=0, received_at=0, ordinal=0
    )  # fmt: skip
