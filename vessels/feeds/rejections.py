"""The kinds under which a feed counts what it refused: one table, used in `Batch.rejected` and the admin.

Refused whole (no row comes of it):
    garbled          a line that is no sentence, or a message with an impossible payload
    bad_checksum     the sentence's or its tag block's checksum does not fit
    other_sentence   well-formed NMEA that is not AIS (GPS, weather, …)
    incomplete       a message of several sentences of which one never came
    truncated        a message that ends before its MMSI or in the middle of its place
    bad_mmsi         a number that is no MMSI
    bad_time         a time that cannot be read
    no_time          a sentence of a file before any time, without `--start`
    from_the_future  more than ten minutes ahead of our clock (live only)
    bad_row          a row with too few columns, or whose longitude or latitude is no number
    bad_file         the rest of a file that cannot be decompressed or read
    not_a_vessel:…   `coast_station`, `sar_aircraft`, `sart`, `man_overboard`, `epirb`, `locating_device`,
                     `aid_to_navigation`, `base_station`

Refused as positions (the row stays, as a hearing without a place):
    no_position      longitude 181, latitude 91, the Danish files' `91,0`, or an empty column
    null_island      exactly 0,0
    bad_position     outside −180…180, −90…90, or not a number
"""

from __future__ import annotations

from typing import Final

from vessels.reports import Rejected

GARBLED: Final = "garbled"
BAD_CHECKSUM: Final = "bad_checksum"
OTHER_SENTENCE: Final = "other_sentence"
INCOMPLETE: Final = "incomplete"
TRUNCATED: Final = "truncated"
BAD_MMSI: Final = "bad_mmsi"
BAD_TIME: Final = "bad_time"
NO_TIME: Final = "no_time"
FROM_THE_FUTURE: Final = "from_the_future"
BAD_ROW: Final = "bad_row"
BAD_FILE: Final = "bad_file"
NO_POSITION: Final = "no_position"
NULL_ISLAND: Final = "null_island"
BAD_POSITION: Final = "bad_position"
NOT_A_VESSEL: Final = "not_a_vessel:"


class Rejections(dict[str, Rejected]):
    """Counts by kind, with the first sample of each."""

    def add(self, kind: str, sample: str | bytes) -> None:
        rejected = self.get(kind)
        if rejected is None:
            rejected = self[kind] = Rejected()
        if rejected.sample:
            rejected.count += 1
        else:
            rejected.add(sample if isinstance(sample, str) else printable(sample))


def printable(data: bytes) -> str:
    """Bytes as a text that a database and a page can hold."""
    return data[:500].decode("ascii", "backslashreplace").replace("\x00", "\\x00")
