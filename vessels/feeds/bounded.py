"""Files, read whole: all reports in the order of the file, in columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from vessels.feeds import rejections
from vessels.feeds.bytes_in import Progress, read_lines, sha256_of_file
from vessels.feeds.csv_header import read_header
from vessels.feeds.csv_rows import RowReader
from vessels.feeds.messages import read_message
from vessels.feeds.rows import RowCollector
from vessels.feeds.sentences import SentenceReader
from vessels.feeds.sources import BoundedSource, CsvFile, NmeaFile, SourceError
from vessels.reports import Batch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_bounded(
    source: BoundedSource,
    *,
    start: datetime | None,
    feed: int,
    progress: Progress | None = None,
    keep_raw: bool = False,
) -> Batch:
    """All reports of a file, in its order; `ordinal` is the line on which a report was complete, from 0.

    `start` (aware) is the time of reports before any time in the file, and lets those without a time follow the one
    before them; without it they are refused. `feed` fills that column.
    `progress(done, total)` is told the bytes read. `received_at` is the report's own time. Raises `SourceError`
    where the file cannot be opened, its header is not understood, or it has reports but no times.
    """
    into = RowCollector(feed=feed, keep_raw=keep_raw)
    began = None if start is None else (start - _EPOCH) // timedelta(microseconds=1)
    lines = enumerate(read_lines(source.path, into.rejected, progress))
    if isinstance(source, CsvFile):
        _read_rows(source, lines, into, began)
    else:
        _read_sentences(source, lines, into, began)
    return into.batch()


def sha256_of(source: BoundedSource) -> str:
    """SHA-256 of the file as it lies on disk: by this a bounded source is known. Raises `SourceError`."""
    return sha256_of_file(source.path)


def _read_sentences(
    source: NmeaFile, lines: Iterator[tuple[int, bytes]], into: RowCollector, began: int | None
) -> None:
    reader = SentenceReader(into.rejected, lasting=True)
    latest = began if began is not None else 0
    timed = False
    for ordinal, line in lines:
        message = reader.read(line)
        if message is None:
            continue
        time = message.tag.time
        if time is None:
            if began is None:
                into.rejected.add(rejections.NO_TIME, message.raw)
                continue
            time = latest  # with `start`, a sentence without a time follows the one before it
        latest = time
        timed = True
        read_message(message, into=into, time=time, received_at=time, ordinal=ordinal)
    reader.finish()
    if not timed and rejections.NO_TIME in into.rejected:
        raise SourceError(
            f"{source.path}: its sentences carry no times (no tag blocks with c:, no $PGHP lines); "
            "give the time of the first with --start"
        )


def _read_rows(source: CsvFile, lines: Iterator[tuple[int, bytes]], into: RowCollector, began: int | None) -> None:
    _, first = next(lines, (0, b""))
    if not first.strip():
        raise SourceError(f"{source.path}: the first line is empty; it must name the columns")
    header = read_header(source, first.decode("utf-8", "replace"), time_needed=began is None)
    reader = RowReader(header, into, start=began)
    reader.read(lines)
    bad = into.rejected.get(rejections.BAD_TIME)
    if bad is not None and not reader.times:
        raise SourceError(
            f"{source.path}: no row has a time that can be read as {header.time_format or 'ISO 8601'}; "
            f"name its form with time_format=…; the first such row is {bad.sample!r}"
        )
