"""Real files, where they are at hand: the counts that their README states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from vessels.feeds import BoundedSource, parse_source, read_bounded
from vessels.feeds.rejections import Rejections
from vessels.feeds.sentences import SentenceReader
from vessels.reports import Batch

DATA = Path(settings.BASE_DIR).parent / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data with real AIS is absent")


def read(source: str) -> Batch:
    kind, _, name = source.partition(":")
    parsed = parse_source(f"{kind}:{DATA / name}")
    assert isinstance(parsed, BoundedSource)
    return read_bounded(parsed, start=None, feed=0)


def placed(batch: Batch) -> int:
    return int((~np.isnan(batch.rows["lon"])).sum())


@pytest.mark.parametrize("name", ["denmark_20131112_gatehouse.nmea", "denmark_20131112_tagblock.nmea"])
def test_the_danish_messages_are_all_read(name: str) -> None:
    rejected = Rejections()
    reader = SentenceReader(rejected)
    with (DATA / name).open("rb") as lines:
        messages = [message for line in lines if (message := reader.read(line)) is not None]

    assert len(messages) == 26_077
    assert len({message.tag.station for message in messages}) == 38
    assert set(rejected) <= {"other_sentence"}


@pytest.mark.parametrize("name", ["denmark_20131112_gatehouse.nmea", "denmark_20131112_tagblock.nmea"])
def test_the_danish_positions_are_those_counted_with_coast_stations(name: str) -> None:
    batch = read(f"nmea+file:{name}")

    # The README counts every position report; 30 of them are coast stations', which are not vessels.
    assert placed(batch) + batch.rejected["not_a_vessel:coast_station"].count == 24_688


def test_both_danish_files_give_the_same_rows() -> None:
    gatehouse = read("nmea+file:denmark_20131112_gatehouse.nmea").rows
    tag_blocks = read("nmea+file:denmark_20131112_tagblock.nmea").rows

    for column in ("mmsi", "lon", "lat", "speed", "course", "payload"):
        assert np.array_equal(gatehouse[column], tag_blocks[column], equal_nan=column not in ("mmsi", "payload")), (
            column
        )
    assert (gatehouse["time"] // 1_000_000 == tag_blocks["time"] // 1_000_000).all()


def test_the_norwegian_file_places_748_stations() -> None:
    batch = read("nmea+file:norway_20190807.nmea")

    without_a_place = batch.rejected["no_position"].count
    not_vessels = sum(r.count for kind, r in batch.rejected.items() if kind.startswith("not_a_vessel"))
    assert placed(batch) + without_a_place + not_vessels == 748


def test_the_drifting_vessel_is_placed_2563_times() -> None:
    batch = read("nmea+file:drift_212123000.nmea")

    assert placed(batch) == 2_563
    assert np.unique(batch.rows["mmsi"]).tolist() == [212123000]


def test_the_american_rows_are_all_read() -> None:
    batch = read("csv+file:marinecadastre_20220103.csv")

    assert len(batch) + sum(r.count for r in batch.rejected.values()) == 99_999


def test_the_suez_rows_are_all_read_with_a_mapping() -> None:
    options = "mmsi=ID&time=ais_pos_timestamp&lon=longitude&lat=latitude&time_format=%d/%m/%Y %H:%M"

    batch = read(f"csv+file:suez_202103.csv?{options}")

    assert placed(batch) == 22_287
    assert np.unique(batch.rows["mmsi"]).tolist() == list(range(1, 257))


def test_the_danish_rows_lose_one_position_and_the_base_station() -> None:
    batch = read("csv+file:dma_rows_20230318.csv")

    assert len(batch) + batch.rejected["not_a_vessel:base_station"].count == 9
    assert batch.rejected["no_position"].count == 1
