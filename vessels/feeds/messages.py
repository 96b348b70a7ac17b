"""AIS messages (ITU-R M.1371-5) into rows: what pyais decodes, with every *not available* taken out.

Positions come of types 1, 2, 3, 18, 19 and 27; statics of 5, 19 and 24. Any other type is a hearing of its MMSI.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, Protocol

from pyais.bit_vector import bit_vector
from pyais.messages import MSG_CLASS

from vessels.feeds import rejections
from vessels.feeds.places import fault_of_place
from vessels.feeds.rows import NAN, Row, RowCollector
from vessels.feeds.sentences import Message
from vessels.feeds.texts import clean_text, positive, ship_type_number, valid_imo
from vessels.mid import station_kind
from vessels.reports import StaticReport

CLASS_OF_TYPE: Final = {1: b"A", 2: b"A", 3: b"A", 5: b"A", 18: b"B", 19: b"B", 24: b"B"}
# Where latitude, the last of a place's fields, ends; a shorter position report is cut off in the middle of a value.
BITS_OF_PLACE: Final = {1: 116, 2: 116, 3: 116, 18: 112, 19: 112, 27: 79}
# Where the last field of course and heading ends; in a message that is cut off before, they are not available.
BITS_OF_MOTION: Final = {1: 137, 2: 137, 3: 137, 18: 133, 19: 133, 27: 94}
BITS_OF_STATIC: Final = {5: 302, 19: 301, 24: 160}
# Stations by what they transmit, whatever their MMSI: base stations, SAR aircraft, aids to navigation.
STATION_OF_TYPE: Final = {4: "base_station", 9: "sar_aircraft", 21: "aid_to_navigation"}
BITS_OF_HEADER: Final = 38  # type, repeat indicator, MMSI
LAST_TYPE: Final = 27
LONGEST_PAYLOAD: Final = 1 << 16  # longer than any: no static data in that type


class Bits(Protocol):
    """What we use of pyais's bit vector."""

    _value: int

    def get(self, start: int, width: int) -> int: ...

    def __len__(self) -> int: ...


def payload_hash(bits: Bits) -> int:
    """64 bits that name a payload, the same however it was split into sentences; never 0."""
    length = len(bits)
    data = bits._value.to_bytes((length + 7) // 8, "big") + length.to_bytes(2, "big")  # noqa: SLF001 - its only form as a number
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") or 1


def read_message(message: Message, *, into: RowCollector, time: int, received_at: int, ordinal: int) -> None:
    """Decode a message and add its row and statics, or count why there is none. Raises nothing on any payload."""
    bits: Bits = bit_vector(message.payload, message.fill_bits)
    rejected = into.rejected
    if len(bits) < BITS_OF_HEADER:
        return rejected.add(rejections.TRUNCATED, message.raw)
    kind = bits.get(0, 6)
    mmsi = bits.get(8, 30)
    if not 1 <= kind <= LAST_TYPE:
        return rejected.add(rejections.GARBLED, message.raw)
    if len(bits) < BITS_OF_PLACE.get(kind, BITS_OF_HEADER):
        return rejected.add(rejections.TRUNCATED, message.raw)
    station = station_kind(mmsi)
    if station is not None:
        return rejected.add(rejections.NOT_A_VESSEL + STATION_OF_TYPE.get(kind, station), message.raw)
    place = _place(kind, bits, message, into)
    row: Row = (
        time, received_at, mmsi, *place, kind, CLASS_OF_TYPE.get(kind, b""),
        into.station_index(message.tag.station), into.feed, payload_hash(bits), ordinal,
    )  # fmt: skip
    index = into.add(row, _text(message.raw) if into.keep_raw else "")
    if len(bits) >= BITS_OF_STATIC.get(kind, LONGEST_PAYLOAD):
        static = _static(kind, bits, index, time, mmsi)
        if static is not None:
            into.statics.append(static)
    return None


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")


Place = tuple[float, float, float, float, float, int]  # lon, lat, speed, course, heading, status
STATUS_AT: Final = {1: 38, 2: 38, 3: 38, 27: 40}
NO_STATUS: Final = 15
SPEED_NOT_AVAILABLE: Final = {27: 63}
_NOWHERE: Final[Place] = (NAN, NAN, NAN, NAN, NAN, -1)


def _place(kind: int, bits: Bits, message: Message, into: RowCollector) -> Place:
    """Where and how it moves, of the types that say so; a hearing without a place of the others."""
    if kind not in BITS_OF_PLACE:
        return _NOWHERE
    said = _decode(bits)
    fault = fault_of_place(said.lon, said.lat)
    if fault is not None:
        into.rejected.add(fault, message.raw)
    lon, lat = (said.lon, said.lat) if fault is None else (NAN, NAN)
    status = bits.get(STATUS_AT[kind], 4) if kind in STATUS_AT else NO_STATUS
    status = -1 if status == NO_STATUS else status
    if len(bits) < BITS_OF_MOTION[kind]:
        return lon, lat, NAN, NAN, NAN, status
    speed = said.speed if said.speed < SPEED_NOT_AVAILABLE.get(kind, 102.3) else NAN
    course = said.course if said.course < 360 else NAN
    heading = said.heading if kind != 27 and said.heading < 360 else NAN
    return lon, lat, speed, course, heading, status


def _decode(bits: Bits) -> Any:
    """pyais's message class over the bits; its fields beyond the end are None or wrong: look at the length first."""
    return MSG_CLASS[bits.get(0, 6)].from_vector(bits)  # type: ignore[arg-type]


def _static(kind: int, bits: Bits, row: int, time: int, mmsi: int) -> StaticReport | None:
    """The static data of types 5, 19 and 24; None where the message is too short for any, or says nothing."""
    if kind == 24:
        return _static_24(bits, row, time, mmsi)
    said = _decode(bits)
    voyage = kind == 5
    return StaticReport(
        row=row,
        time=time,
        mmsi=mmsi,
        name=clean_text(said.shipname, 20),
        call_sign=clean_text(said.callsign, 7) if voyage else None,
        imo=valid_imo(said.imo) if voyage else None,
        ship_type=ship_type_number(bits.get(232 if voyage else 263, 8)),
        length_m=_metres(said.to_bow, said.to_stern),
        beam_m=_metres(said.to_port, said.to_starboard),
        destination=clean_text(said.destination, 20) if voyage and len(bits) >= 422 else None,
        draught_m=positive(said.draught) if voyage else None,
    )


def _static_24(bits: Bits, row: int, time: int, mmsi: int) -> StaticReport | None:
    part = bits.get(38, 2)
    if part == 0:
        name = clean_text(_decode(bits).shipname, 20)
        return StaticReport(row=row, time=time, mmsi=mmsi, name=name) if name else None
    if part != 1:
        return None
    said = _decode(bits)
    # An auxiliary craft (98…) says its mother ship's MMSI where others say their dimensions.
    sized = len(bits) >= 162 and not 980_000_000 <= mmsi <= 989_999_999
    return StaticReport(
        row=row,
        time=time,
        mmsi=mmsi,
        call_sign=clean_text(said.callsign, 7),
        ship_type=ship_type_number(bits.get(40, 8)),
        length_m=_metres(said.to_bow, said.to_stern) if sized else None,
        beam_m=_metres(said.to_port, said.to_starboard) if sized else None,
    )


def _metres(one: int | None, other: int | None) -> int | None:
    """Both distances from the antenna together; 0 is *not available*."""
    return None if one is None or other is None else (one + other) or None
