"""Files read whole."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import zstandard

from tests.vessels.feeds.writing import NOON, ais, at, position, write
from vessels.feeds import BoundedSource, SourceError, is_bounded, parse_source, read_bounded, sha256_of
from vessels.reports import Batch


def source_of(path: Path, kind: str = "nmea") -> BoundedSource:
    source = parse_source(f"{kind}+file:{path}")
    assert is_bounded(source)
    return source  # type: ignore[return-value]


def read(path: Path, *, start: datetime | None = None, keep_raw: bool = False) -> Batch:
    return read_bounded(source_of(path), start=start, feed=7, keep_raw=keep_raw)


def counts(batch: Batch) -> dict[str, int]:
    return {kind: r.count for kind, r in batch.rejected.items()}


def test_rows_stand_in_the_files_order_with_the_line_as_their_ordinal(tmp_path: Path) -> None:
    path = write(tmp_path, at(5, position(lon=1), "b"), "garbage", at(1, position(lon=2), "a"))

    batch = read(path)

    assert batch.rows["lon"].tolist() == [1, 2]
    assert batch.rows["ordinal"].tolist() == [0, 2]
    assert batch.rows["time"].tolist() == [(NOON + 5) * 10**6, (NOON + 1) * 10**6]
    assert batch.rows["received_at"].tolist() == batch.rows["time"].tolist()
    assert (batch.rows["feed"] == 7).all()
    assert [batch.stations[i] for i in batch.rows["station"]] == ["b", "a"]
    assert counts(batch) == {"garbled": 1}
    assert batch.rejected["garbled"].sample == "garbage"


def test_raw_sentences_are_kept_on_demand(tmp_path: Path) -> None:
    line = at(0, position())

    batch = read(write(tmp_path, line), keep_raw=True)

    assert batch.raw == [line]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_compressed_files_read_as_plain_ones(tmp_path: Path, ending: str) -> None:
    plain = write(tmp_path, *[at(n, position(lon=n / 10)) for n in range(50)])
    compress = gzip.compress if ending == "gz" else zstandard.compress
    packed = tmp_path / f"day.nmea.{ending}"
    packed.write_bytes(compress(plain.read_bytes()))

    assert (read(packed).rows == read(plain).rows).all()


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_file_that_cannot_be_decompressed_is_counted(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"day.nmea.{ending}"
    path.write_bytes(b"this is neither")

    assert counts(read(path)) == {"bad_file": 1}


def test_a_compressed_file_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = [at(n, position(lon=float(rng.uniform(-180, 180)))) for n in range(20_000)]
    whole = gzip.compress("\n".join(lines).encode())
    path = tmp_path / "day.nmea.gz"
    path.write_bytes(whole[: len(whole) * 3 // 4])

    batch = read(path)

    assert len(batch) > 5_000
    assert batch.rejected["bad_file"].count == 1


def test_a_file_without_times_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--start"):
        read(write(tmp_path, position()))


def test_a_start_gives_times_to_a_file_without(tmp_path: Path) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)

    batch = read(write(tmp_path, position(lon=1), position(lon=2)), start=start)

    assert batch.rows["time"].tolist() == [int(start.timestamp()) * 10**6] * 2


def test_a_sentence_without_a_time_in_a_file_with_times_is_counted(tmp_path: Path) -> None:
    batch = read(write(tmp_path, at(0, position()), position()))

    assert len(batch) == 1
    assert counts(batch) == {"no_time": 1}


def test_an_empty_file_is_an_empty_batch(tmp_path: Path) -> None:
    batch = read(write(tmp_path))

    assert len(batch) == 0
    assert not batch.rejected


def test_a_file_of_garbage_never_stops_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "noise.nmea"
    path.write_bytes(np.random.default_rng(2).bytes(300_000) + b"\n" + at(0, position()).encode())

    assert len(read(path)) == 1


def test_a_message_that_ends_with_the_file_is_incomplete(tmp_path: Path) -> None:
    first, _ = ais(type=5, shipname="AURORA")

    assert counts(read(write(tmp_path, at(0, first)))) == {"incomplete": 1}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.nmea: there is no such file"):
        read(tmp_path / "nothing.nmea")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is no file"):
        read(tmp_path)


def test_a_source_is_known_by_the_hash_of_its_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, position())

    assert sha256_of(source_of(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, *[at(n, position()) for n in range(10)])
    told: list[tuple[int, int]] = []

    read_bounded(source_of(path), start=None, feed=0, progress=lambda done, total: told.append((done, total)))

    assert told[-1] == (path.stat().st_size, path.stat().st_size)
