"""AIS in: from bytes to the columnar batches of `vessels.reports`.

    source = parse_source("nmea+file:day.nmea.gz")
    batch = read_bounded(source, start=None, feed=0, progress=None)     # a file, whole
    for batch in open_live(source, feed=0, clock=utc_now, stop=event):  # a socket, until `event` is set

What is refused is counted by kind in `Batch.rejected`; `vessels.feeds.rejections` lists the kinds.
"""

from __future__ import annotations

from vessels.feeds.bounded import read_bounded, sha256_of
from vessels.feeds.bytes_in import Progress
from vessels.feeds.live import FeedState, open_live
from vessels.feeds.sources import (
    BoundedSource,
    CsvFile,
    LiveSource,
    NmeaFile,
    NmeaTcp,
    NmeaUdp,
    Source,
    SourceError,
    is_bounded,
    parse_source,
)

__all__ = [
    "BoundedSource",
    "CsvFile",
    "FeedState",
    "LiveSource",
    "NmeaFile",
    "NmeaTcp",
    "NmeaUdp",
    "Progress",
    "Source",
    "SourceError",
    "is_bounded",
    "open_live",
    "parse_source",
    "read_bounded",
    "sha256_of",
]
