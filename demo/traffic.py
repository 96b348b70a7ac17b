"""Where every simulated ship is at any moment: pure functions of the world's clock, which counts seconds.

All names and numbers are of our own making. The sea areas are real, the tracks are drawn by hand.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

from pyproj import Geod

METRES_PER_NMI = 1852.0
Point = tuple[float, float]
_wgs84 = Geod(ellps="WGS84")


@dataclass(frozen=True)
class Track:
    """A line that a ship sails there and back, for ever."""

    points: tuple[Point, ...]

    @cached_property
    def _ends(self) -> list[float]:
        """How far along the track each point lies, in nautical miles."""
        pairs = zip(self.points, self.points[1:], strict=False)
        return list(accumulate((_wgs84.inv(*a, *b)[2] / METRES_PER_NMI for a, b in pairs), initial=0.0))

    @property
    def length(self) -> float:
        """In nautical miles."""
        return self._ends[-1]

    def at(self, sailed: float) -> tuple[float, float, float]:
        """Longitude, latitude and course after `sailed` nautical miles."""
        along = sailed % (2 * self.length)
        back = along > self.length
        along = 2 * self.length - along if back else along
        leg = max(index for index, end in enumerate(self._ends[:-1]) if end <= along)
        (lon1, lat1), (lon2, lat2) = self.points[leg], self.points[leg + 1]
        bearing = _wgs84.inv(lon1, lat1, lon2, lat2)[0]
        lon, lat, behind = _wgs84.fwd(lon1, lat1, bearing, (along - self._ends[leg]) * METRES_PER_NMI)
        course = behind if back else behind + 180.0
        return (lon + 180.0) % 360.0 - 180.0, lat, course % 360.0


@dataclass(frozen=True)
class Silence:
    """The stretch of each period, in seconds of the world's clock, in which a ship's transmitter is off."""

    period: float
    start: float
    end: float

    def holds(self, moment: float) -> bool:
        return self.start <= moment % self.period < self.end


@dataclass(frozen=True)
class Fix:
    """What a ship reports of itself at one moment."""

    lon: float
    lat: float
    speed: float  # knots
    course: float  # degrees


@dataclass(frozen=True)
class Ship:
    """One simulated ship. `ahead` is how far along its track it is when the world begins, in nautical miles."""

    mmsi: int
    name: str
    call_sign: str
    ship_type: int  # ITU-R M.1371, table 53
    length: int  # metres
    track: Track
    speed: float  # knots; 0: it stays at the track's first point
    ahead: float = 0.0
    vessel_class: Literal["A", "B"] = "A"
    imo: int = 0
    destination: str = ""
    silence: Silence | None = None

    def fix(self, moment: float) -> Fix:
        lon, lat, course = self.track.at(self.ahead + self.speed * moment / 3600.0)
        return Fix(lon, lat, self.speed, course)

    def transmits(self, moment: float) -> bool:
        return self.silence is None or not self.silence.holds(moment)

    @property
    def report_seconds(self) -> float:
        """ITU-R M.1371, table 1, except that those at anchor are heard once a minute instead of every three."""
        if self.vessel_class == "B":
            return 30.0
        if self.speed < 0.5:
            return 60.0
        return 10.0 if self.speed <= 14 else 6.0 if self.speed <= 23 else 2.0


def imo_number(first_six: int) -> int:
    """An IMO number with its check digit: the weighted sum's last digit, weights 7 to 2."""
    digits = [int(digit) for digit in f"{first_six:06d}"]
    return first_six * 10 + sum(digit * weight for digit, weight in zip(digits, range(7, 1, -1), strict=True)) % 10


WAIHEKE = Track(((174.770, -36.838), (174.833, -36.831), (174.905, -36.812), (174.950, -36.790), (174.988, -36.779)))
RANGITOTO = Track(((174.795, -36.836), (174.815, -36.815), (174.826, -36.770), (174.855, -36.700), (174.930, -36.560)))
COLVILLE = Track(((174.826, -36.770), (174.870, -36.690), (175.050, -36.530), (175.330, -36.370), (175.480, -36.300)))
KAWAU = Track(((174.835, -36.740), (174.880, -36.600), (174.870, -36.480), (174.900, -36.350)))
COOK_STRAIT = Track(
    ((174.835, -41.300), (174.820, -41.370), (174.680, -41.390), (174.460, -41.270), (174.330, -41.220))
)
NARROWS = Track(((174.420, -41.480), (174.560, -41.330), (174.480, -41.100), (174.350, -40.850)))
PATROL = Track(((174.600, -41.330), (174.540, -41.300), (174.480, -41.300)))
NORTHLAND = Track(((173.20, -34.25), (174.30, -35.10), (174.75, -35.75), (175.10, -36.10)))
BAY_OF_PLENTY = Track(((176.25, -37.55), (176.80, -37.20), (178.30, -37.30), (178.85, -37.75), (178.60, -39.00)))
TASMAN = Track(((164.50, -37.50), (170.00, -39.40), (172.60, -40.20), (173.90, -40.45), (174.40, -40.90)))
CANTERBURY = Track(((174.70, -41.75), (174.20, -42.60), (173.30, -43.50)))
CHATHAM_RUN = Track(((174.75, -41.80), (178.50, -43.00), (-177.20, -43.90)))
# The zone's edge (demo/zone.py) crosses 180° at 22°51.0′ S, going north to the east. This line runs due east
# through that point, so that the ship comes into the zone just where it crosses 180°.
EDGE = -22.84986
DATE_LINE = Track(((179.984, EDGE), (-179.984, EDGE)))

_NAMES_FIRST = ("Kahu", "Toroa", "Korimako", "Matuku", "Tieke", "Huia", "Kereru", "Weka", "Pukeko", "Tarapunga")
_NAMES_LAST = ("Rising", "Trader", "Horizon", "Venture", "Spirit", "Pioneer", "Grace", "Harmony", "Fortune", "Star")
_FLAGS = (512, 503, 477, 538, 636, 352, 563, 431)  # country digits of the MMSI


def special_ships() -> list[Ship]:
    """The ships that the demo's rules are about."""
    dark = Silence(period=300.0, start=30.0, end=200.0)
    return [
        Ship(
            512009001, "RANGI EXPLORER", "ZMRE", 90, 72, DATE_LINE, 21.0, ahead=0.62, imo=imo_number(970101),
            destination="APIA",
        ),  # 45 s before 180°
        Ship(
            512009002, "MATANGI", "ZMMT", 30, 34, PATROL, 11.0, ahead=1.0, imo=imo_number(970102),
            destination="FISHING", silence=dark,
        ),
        Ship(
            477009003, "LONG REACH", "VRLR", 70, 189, COLVILLE, 13.0, ahead=1.2, imo=imo_number(970103),
            destination="NZAKL",
        ),
    ]  # fmt: skip


def make_fleet(seed: int) -> list[Ship]:
    """All ships; the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - a simulation
    return [*special_ships(), *_ferries(), *_coasters(draw), *_yachts(draw), *_at_anchor(draw)]


def _ferries() -> list[Ship]:
    harbour = [
        Ship(
            512010000 + number, f"GULF FLYER {number}", f"ZMF{number}", 40, 36, WAIHEKE, 24.0,
            ahead=number * 2 * WAIHEKE.length / 6, imo=imo_number(970110 + number), destination="MATIATIA",
        )
        for number in range(1, 7)
    ]  # fmt: skip
    strait = [
        Ship(
            512011000 + number, name, f"ZMC{number}", 60, 181, COOK_STRAIT, 17.5,
            ahead=number * 9.0, imo=imo_number(970120 + number), destination="PICTON",
        )
        for number, name in enumerate(("STRAIT LINK", "STRAIT PASSAGE", "STRAIT RUNNER"), 1)
    ]  # fmt: skip
    return harbour + strait


def _coasters(draw: random.Random) -> list[Ship]:
    """Cargo ships and tankers on the sea lanes."""
    lanes: Sequence[tuple[Track, int]] = (
        (COLVILLE, 6),
        (RANGITOTO, 5),
        (NARROWS, 5),
        (NORTHLAND, 4),
        (BAY_OF_PLENTY, 4),
        (TASMAN, 4),
        (CANTERBURY, 4),
        (CHATHAM_RUN, 3),
    )
    ships: list[Ship] = []
    for lane, many in lanes:
        for _ in range(many):
            number = len(ships)
            flag = draw.choice(_FLAGS)
            ships.append(
                Ship(
                    flag * 1_000_000 + 20_000 + number,
                    f"{draw.choice(_NAMES_FIRST)} {draw.choice(_NAMES_LAST)}".upper(),
                    f"K{number:03d}",
                    draw.choice((70, 70, 71, 79, 80, 84)),
                    draw.randrange(89, 290),
                    lane,
                    round(draw.uniform(9.0, 18.5), 1),
                    ahead=draw.uniform(0, 2 * lane.length),
                    imo=imo_number(971000 + number),
                    destination=draw.choice(("NZAKL", "NZTRG", "NZWLG", "NZLYT", "NZNPE", "AUSYD")),
                )
            )
    return ships


def _yachts(draw: random.Random) -> list[Ship]:
    return [
        Ship(
            512030000 + number,
            f"{draw.choice(_NAMES_FIRST)} {number}".upper(),
            f"ZMY{number}",
            draw.choice((36, 37)),
            draw.randrange(8, 19),
            draw.choice((KAWAU, RANGITOTO, WAIHEKE)),
            round(draw.uniform(4.0, 8.0), 1),
            ahead=draw.uniform(0, 30),
            vessel_class="B",
        )
        for number in range(1, 9)
    ]


def _at_anchor(draw: random.Random) -> list[Ship]:
    """Off the port of Auckland, waiting for a berth."""
    return [
        Ship(
            draw.choice(_FLAGS) * 1_000_000 + 40_000 + number,
            f"{draw.choice(_NAMES_FIRST)} {draw.choice(_NAMES_LAST)}".upper(),
            f"V{number:03d}",
            70,
            draw.randrange(120, 260),
            Track(((lon := 174.86 + 0.022 * number, lat := -36.745 + draw.uniform(-0.01, 0.01)), (lon + 0.001, lat))),
            0.0,
            imo=imo_number(972000 + number),
            destination="NZAKL",
        )
        for number in range(4)
    ]
