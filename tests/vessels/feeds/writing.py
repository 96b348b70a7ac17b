"""Writes NMEA for the tests of the feeds: sentences by pyais, tag blocks and `$PGHP` lines by ourselves."""

from __future__ import annotations

from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

from pyais import encode_dict

NOON = 1_384_257_600  # 2013-11-12T12:00:00Z


def ais(**fields: Any) -> list[str]:
    """The sentences of one message; `type` is its AIS type."""
    return [str(s) for s in encode_dict({"mmsi": 219000001, "msg_type": fields["type"], **fields}, talker_id="AI")]


def position(**fields: Any) -> str:
    """One position report of class A."""
    return ais(**{"type": 1, "lon": 12.5, "lat": 55.5, "speed": 10.1, "course": 90.5, "heading": 91, **fields})[0]


def with_checksum(body: str) -> str:
    return f"{body}*{reduce(xor, body.encode(), 0):02X}"


def tag_block(text: str) -> str:
    return f"\\{with_checksum(text)}\\"


def at(seconds: float, sentence: str, station: str = "") -> str:
    """The sentence behind a tag block with its time, in seconds after noon."""
    time = f"c:{NOON + int(seconds)}"
    return tag_block(f"s:{station},{time}" if station else time) + sentence


def pghp(*, second: int, milli: int = 0, transponder: str = "2190067", region: str = "") -> str:
    return "$" + with_checksum(f"PGHP,1,2013,11,12,12,0,{second},{milli},219,{region},{transponder},1,00")


def write(folder: Path, *lines: str, name: str = "day.nmea") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
