"""The events of some reports in some areas: one vessel after another, one position after another."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from pyproj import Geod

from tests.reference.areas import Area, Geometry
from tests.reference.reports import EPOCH, MICROSECOND, Report

SILENT_AFTER = timedelta(minutes=10)
REPEAT_WINDOW = 60_000_000
METRES_PER_NAUTICAL_MILE = 1852.0
MICROSECONDS_PER_HOUR = 3_600_000_000
JUMP_NAUTICAL_MILES = 0.5
JUMP_KNOTS = 60.0
WGS84 = Geod(ellps="WGS84")

Event = dict[str, Any]


@dataclass(frozen=True)
class Position:
    """An accepted report and the names of the areas it lies in."""

    time: int
    lon: float
    lat: float
    inside: frozenset[str]


class AliveClock:
    """How long a feed was alive: the stretches between its hearings, the too long ones left out."""

    def __init__(self, hearings: Sequence[int], silent_after: int) -> None:
        self.hearings = hearings
        self.alive = [0]
        for before, after in pairwise(hearings):
            stretch = after - before
            self.alive.append(self.alive[-1] + (stretch if stretch <= silent_after else 0))

    def reaches(self, duration: int, *, since: int) -> int | None:
        """When the alive time since a hearing reaches a duration, None if it does not by the last hearing."""
        start = bisect_right(self.hearings, since) - 1
        target = self.alive[start] + duration
        after = bisect_left(self.alive, target)
        if after == len(self.alive):
            return None
        return self.hearings[after - 1] + target - self.alive[after - 1]


@dataclass
class Vessel:
    """What is known of a vessel while its reports are gone through."""

    mmsi: int
    last: Position | None = None
    suspect: Report | None = None
    heard: Report | None = None
    first_hearings: dict[str, int] = field(default_factory=dict)
    row_times: set[int] = field(default_factory=set)
    # By area: (when it was missing, when it was last heard before that), not resumed yet.
    missing: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class World:
    """What the vessels are watched with."""

    areas: Mapping[str, Area]
    durations: Mapping[str, Sequence[int]]
    clocks: Mapping[int, AliveClock]


def evaluate(
    reports: Iterable[Report],
    areas: Mapping[str, Geometry],
    missing: Mapping[str, Iterable[timedelta]] | None = None,
    silent_after: timedelta = SILENT_AFTER,
) -> list[Event]:
    """All events in canonical order. The reports come in time order (`read_sources`)."""
    by_vessel: dict[int, list[Report]] = defaultdict(list)
    hearings: dict[int, list[int]] = defaultdict(list)
    for report in reports:
        by_vessel[report.mmsi].append(report)
        hearings[report.feed].append(report.time)
    world = World(
        areas={name: Area(geometry) for name, geometry in areas.items()},
        durations={name: sorted({d // MICROSECOND for d in wanted}) for name, wanted in (missing or {}).items()},
        clocks={feed: AliveClock(times, silent_after // MICROSECOND) for feed, times in hearings.items()},
    )
    events = [event for mmsi, heard in by_vessel.items() for event in events_of_vessel(Vessel(mmsi), heard, world)]
    return sorted(events, key=canonical)


def canonical(event: Event) -> tuple[Any, ...]:
    """The order of events; positions of one moment can make equal ones but for the place."""
    return (
        *(event[name] for name in ("occurred_at", "mmsi", "area", "kind")),
        event["duration_seconds"] or 0,
        event["not_before"] or event["occurred_at"],
        event["lon"],
        event["lat"],
    )


def events_of_vessel(vessel: Vessel, reports: Sequence[Report], world: World) -> Iterator[Event]:
    for report in reports:
        yield from missing_until(report.time, vessel, world)
        vessel.heard = report
        if report.place is not None and not is_repeat(report, vessel):
            for accepted in accept(report, vessel):
                yield from take(accepted, vessel, world)
    yield from missing_until(None, vessel, world)


# --- which reports become positions ---


def is_repeat(report: Report, vessel: Vessel) -> bool:
    if report.bits is None:
        repeated = report.time in vessel.row_times
        vessel.row_times.add(report.time)
        return repeated
    first = vessel.first_hearings.get(report.bits)
    if first is not None and report.time - first <= REPEAT_WINDOW:
        return True
    vessel.first_hearings[report.bits] = report.time
    return False


def accept(report: Report, vessel: Vessel) -> list[Report]:
    """The reports that this one makes positions: none, itself, or the suspect and itself."""
    suspect, last = vessel.suspect, vessel.last
    if last is None or not is_jump((last.lon, last.lat), last.time, report):
        vessel.suspect = None
        return [report]
    if suspect is not None and not is_jump(place_of(suspect), suspect.time, report):
        vessel.suspect = None
        return [suspect, report]
    vessel.suspect = report
    return []


def is_jump(place: tuple[float, float], time: int, report: Report) -> bool:
    _, _, metres = WGS84.inv(*place, *place_of(report))
    step = metres / METRES_PER_NAUTICAL_MILE
    if step <= JUMP_NAUTICAL_MILES:
        return False
    elapsed = report.time - time
    return elapsed <= 0 or step / (elapsed / MICROSECONDS_PER_HOUR) > JUMP_KNOTS


def place_of(report: Report) -> tuple[float, float]:
    if report.place is None:
        raise ValueError("a report without a place is never a position")
    return report.place


# --- events of a position ---


def take(report: Report, vessel: Vessel, world: World) -> Iterator[Event]:
    lon, lat = place_of(report)
    inside = frozenset(name for name, area in world.areas.items() if area.contains(lon, lat))
    q = Position(report.time, lon, lat, inside)
    p, vessel.last = vessel.last, q
    if p is None:
        for name in inside:
            yield event_at(q, "appeared", vessel, name)
        return
    for name in inside - p.inside:
        yield crossing("entered", p, q, vessel, name)
    for name in p.inside - inside:
        yield crossing("exited", p, q, vessel, name)
    yield from resumed_at(q, vessel)


def resumed_at(q: Position, vessel: Vessel) -> Iterator[Event]:
    """Of the gaps that had a missing before q only the last one is resumed, in each area."""
    for name, noticed in vessel.missing.items():
        over = [gap for when, gap in noticed if when < q.time]
        if over:
            yield event_at(q, "resumed", vessel, name, duration=q.time - max(over))
        vessel.missing[name] = [(when, gap) for when, gap in noticed if when >= q.time]


def missing_until(next_heard: int | None, vessel: Vessel, world: World) -> Iterator[Event]:
    """The missings of the gap from the last hearing to the next one (None: to the end of the source)."""
    if vessel.heard is None or vessel.last is None:
        return
    gap, clock = vessel.heard.time, world.clocks[vessel.heard.feed]
    for name in vessel.last.inside:
        for duration in world.durations.get(name, ()):
            when = clock.reaches(duration, since=gap)
            if when is not None and (next_heard is None or when < next_heard):
                vessel.missing[name].append((when, gap))
                yield event_at(vessel.last, "missing", vessel, name, duration=duration, when=when)


def crossing(kind: str, p: Position, q: Position, vessel: Vessel, area: str) -> Event:
    return event_at(q, kind, vessel, area) | {
        "not_before": moment(p.time),
        "not_after": moment(q.time),
    }


def event_at(
    position: Position,
    kind: str,
    vessel: Vessel,
    area: str,
    *,
    duration: int | None = None,
    when: int | None = None,
) -> Event:
    return {
        "kind": kind,
        "mmsi": vessel.mmsi,
        "area": area,
        "occurred_at": moment(position.time if when is None else when),
        "lon": position.lon,
        "lat": position.lat,
        "duration_seconds": None if duration is None else duration / 1_000_000,
        "not_before": None,
        "not_after": None,
    }


def moment(time: int) -> datetime:
    return EPOCH + timedelta(microseconds=time)
