"""Which events a rule takes: one pure function (EVENTS, "Which events a rule takes")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from alerting.models import AlertRule, ShipType
from vessels.models import Event, EventKind, Vessel

UNDER_WAY_KNOTS = 0.5  # slower is stopped: of a real day's last positions 86 % were below it
STOPPED_STATUSES = (1, 5)  # at anchor, moored (ITU-R M.1371, table 45)

# ITU-R M.1371, table 53.
SHIP_TYPE_NUMBERS: dict[str, range | tuple[int, ...]] = {
    ShipType.WING_IN_GROUND: range(20, 30),
    ShipType.FISHING: (30,),
    ShipType.TOWING: (31, 32),
    ShipType.DREDGING: (33,),
    ShipType.DIVING: (34,),
    ShipType.MILITARY: (35,),
    ShipType.SAILING: (36,),
    ShipType.PLEASURE: (37,),
    ShipType.HIGH_SPEED: range(40, 50),
    ShipType.PILOT: (50,),
    ShipType.SEARCH_AND_RESCUE: (51,),
    ShipType.TUG: (52,),
    ShipType.LAW_ENFORCEMENT: (55,),
    ShipType.PASSENGER: range(60, 70),
    ShipType.CARGO: range(70, 80),
    ShipType.TANKER: range(80, 90),
    ShipType.OTHER: range(90, 100),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event with what is known of its vessel; `vessel` is None where it cannot be found."""

    event: Event
    vessel: Vessel | None
    # the durations of `missing` that were raised for the gap of a `resumed`
    missing_durations: frozenset[timedelta] = frozenset()


def rule_takes(rule: AlertRule, candidate: Candidate, *, watchlist: frozenset[int]) -> bool:
    """Whether `rule`, which uses the event's area, tells its subscribers of this event.

    `watchlist` holds the MMSIs of the rule's watchlist, and is not looked at where the rule has none.
    """
    event = candidate.event
    return (
        event.kind in rule.kinds
        and _duration_fits(rule, candidate)
        and (event.kind not in (EventKind.MISSING, EventKind.RESUMED) or rule.include_stopped or was_under_way(event))
        and (rule.watchlist_id is None or event.mmsi in watchlist)
        and _attributes_fit(rule, candidate)
    )


def was_under_way(event: Event) -> bool:
    """By the last position before the silence: moving or of unknown speed, and neither anchored nor moored.

    So nobody is told that a vessel reports again whose silence was no news.
    """
    last = event.evidence.get("last") or event.evidence
    speed = last.get("speed")
    return (speed is None or speed >= UNDER_WAY_KNOTS) and last.get("status") not in STOPPED_STATUSES


def _duration_fits(rule: AlertRule, candidate: Candidate) -> bool:
    if candidate.event.kind == EventKind.MISSING:
        return candidate.event.duration == rule.missing_for
    if candidate.event.kind == EventKind.RESUMED:
        return rule.missing_for in candidate.missing_durations
    return True


def _attributes_fit(rule: AlertRule, candidate: Candidate) -> bool:
    vessel = candidate.vessel
    if rule.flags and (vessel is None or vessel.flag not in rule.flags):
        return False
    if rule.classes and _class_of(candidate) not in rule.classes:
        return False
    if rule.ship_types and not _type_fits(rule.ship_types, vessel):
        return False
    return _length_fits(rule, None if vessel is None else vessel.length_m)


def _class_of(candidate: Candidate) -> str:
    said = candidate.event.evidence.get("vessel_class")
    return str(said) if said else (candidate.vessel.vessel_class if candidate.vessel else "")


def _type_fits(names: list[str], vessel: Vessel | None) -> bool:
    return (
        vessel is not None
        and vessel.ship_type is not None
        and any(vessel.ship_type in SHIP_TYPE_NUMBERS[name] for name in names)
    )


def _length_fits(rule: AlertRule, length_m: float | None) -> bool:
    if rule.min_length_m is None and rule.max_length_m is None:
        return True
    if length_m is None:
        return False
    return (rule.min_length_m is None or length_m >= rule.min_length_m) and (
        rule.max_length_m is None or length_m <= rule.max_length_m
    )
