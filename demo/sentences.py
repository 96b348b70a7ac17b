"""What a ship says, as AIS: types 1 and 18 for where it is, 5 and 24 for what it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor

from pyais import encode_dict

from demo.traffic import Ship

NOT_AVAILABLE_HEADING = 511


def position_sentences(ship: Ship, moment: float, began: datetime, sequence: int) -> list[str]:
    """Where the ship is `moment` seconds after the world began."""
    fix = ship.fix(moment)
    now = began + timedelta(seconds=moment)
    fields: dict[str, str | int | float | bytes | bool] = {
        "msg_type": 1 if ship.vessel_class == "A" else 18,
        "mmsi": ship.mmsi,
        "lon": fix.lon,
        "lat": fix.lat,
        "speed": fix.speed,
        "course": round(fix.course, 1) % 360,
        "heading": NOT_AVAILABLE_HEADING if fix.speed == 0 else int(fix.course),
        "second": now.second,
    }
    if ship.vessel_class == "A":
        fields |= {"status": 1 if fix.speed == 0 else 0, "turn": 0}
    return _sentences(fields, sequence, now)


def static_sentences(ship: Ship, moment: float, began: datetime, sequence: int) -> list[str]:
    """What the ship is: its name, call sign, type and size."""
    now = began + timedelta(seconds=moment)
    size = {"to_bow": ship.length // 2, "to_stern": ship.length - ship.length // 2}
    size |= {"to_port": max(1, ship.length // 14), "to_starboard": max(1, ship.length // 14)}
    about: dict[str, str | int | float | bytes | bool] = {"mmsi": ship.mmsi, "ship_type": ship.ship_type}
    about |= {"callsign": ship.call_sign, **size}
    if ship.vessel_class == "B":
        name: dict[str, str | int | float | bytes | bool] = {"msg_type": 24, "partno": 0, "mmsi": ship.mmsi}
        part_a = _sentences(name | {"shipname": ship.name}, sequence, now)
        return part_a + _sentences({"msg_type": 24, "partno": 1} | about, sequence, now)
    about |= {"msg_type": 5, "imo": ship.imo, "shipname": ship.name, "destination": ship.destination}
    return _sentences(about | {"draught": round(ship.length / 25, 1)}, sequence, now)


def _sentences(fields: dict[str, str | int | float | bytes | bool], sequence: int, now: datetime) -> list[str]:
    channel = "AB"[sequence % 2]
    lines = encode_dict(fields, talker_id="AI", sentence_type="VDM", radio_channel=channel, seq_id=sequence % 10)
    return [f"{_tag(now)}{line}" for line in lines]


def _tag(now: datetime) -> str:
    """The tag block of NMEA 0183: station and time of reception in seconds."""
    text = f"s:demo,c:{int(now.astimezone(UTC).timestamp())}"
    return f"\\{text}*{reduce(xor, text.encode()):02X}\\"
