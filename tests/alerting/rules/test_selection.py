"""Which events a rule takes, without a database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from alerting.models import AlertRule
from alerting.rules.selection import Candidate, rule_takes
from vessels.models import Event, Vessel

SIX_HOURS = timedelta(hours=6)


def candidate(kind: str = "entered", vessel: Vessel | None = None, **evidence: Any) -> Candidate:
    duration = SIX_HOURS if kind == "missing" else None
    return Candidate(Event(kind=kind, mmsi=219000001, duration=duration, evidence=evidence), vessel)


def takes(rule: AlertRule, event: Candidate, watchlist: frozenset[int] = frozenset()) -> bool:
    return rule_takes(rule, event, watchlist=watchlist)


def test_a_rule_for_all_takes_a_vessel_that_nobody_knows() -> None:
    assert takes(AlertRule(kinds=["entered"]), candidate())


def test_a_rule_takes_its_own_kinds_only() -> None:
    assert not takes(AlertRule(kinds=["exited", "appeared"]), candidate("entered"))


@pytest.mark.parametrize(
    ("speed", "status", "taken"),
    [
        (0.5, 0, True),
        (None, 0, True),
        (None, None, True),
        (0.4, 0, False),
        (9, 1, False),
        (9, 5, False),
        (0.0, None, False),
    ],
)
def test_missing_takes_vessels_that_were_under_way(speed: float | None, status: int | None, taken: bool) -> None:
    rule = AlertRule(kinds=["missing"], missing_for=SIX_HOURS)

    assert takes(rule, candidate("missing", speed=speed, status=status)) is taken


def test_resumed_is_told_of_vessels_whose_silence_was_told() -> None:
    rule = AlertRule(kinds=["missing", "resumed"], missing_for=SIX_HOURS)

    def resumed(**last: Any) -> Candidate:
        event = candidate("resumed", last=last, speed=12.0, status=0).event
        return Candidate(event, None, missing_durations=frozenset([SIX_HOURS]))

    assert takes(rule, resumed(speed=9.0, status=0))
    assert not takes(rule, resumed(speed=0.0, status=0))
    assert not takes(rule, resumed(speed=9.0, status=5))


def test_missing_takes_stopped_vessels_where_the_rule_includes_them() -> None:
    rule = AlertRule(kinds=["missing"], missing_for=SIX_HOURS, include_stopped=True)

    assert takes(rule, candidate("missing", speed=0.0, status=5))


def test_a_moored_vessel_that_enters_is_taken() -> None:
    assert takes(AlertRule(kinds=["entered"]), candidate(speed=0.0, status=5))


def test_missing_takes_its_own_duration_only() -> None:
    assert not takes(AlertRule(kinds=["missing"], missing_for=timedelta(hours=1)), candidate("missing", speed=9))


@pytest.mark.parametrize(
    ("ship_type", "taken"), [(79, True), (80, True), (89, True), (69, False), (90, False), (None, False)]
)
def test_ship_types_are_groups_of_numbers(ship_type: int | None, taken: bool) -> None:
    rule = AlertRule(kinds=["entered"], ship_types=["tanker", "cargo"])

    assert takes(rule, candidate(vessel=Vessel(ship_type=ship_type))) is taken


@pytest.mark.parametrize(("length", "taken"), [(99.9, False), (100, True), (200, True), (200.1, False), (None, False)])
def test_lengths_are_bounds_that_belong(length: float | None, taken: bool) -> None:
    rule = AlertRule(kinds=["entered"], min_length_m=100, max_length_m=200)

    assert takes(rule, candidate(vessel=Vessel(length_m=length))) is taken


def test_every_condition_must_hold() -> None:
    rule = AlertRule(kinds=["entered"], flags=["DK", "SE"], classes=["A"], min_length_m=20)
    danish = Vessel(flag="DK", vessel_class="A", length_m=50)

    assert takes(rule, candidate(vessel=danish))
    assert not takes(rule, candidate(vessel=Vessel(flag="NO", vessel_class="A", length_m=50)))
    assert not takes(rule, candidate(vessel=danish, vessel_class="B"))
    assert not takes(rule, candidate())


def test_a_watchlist_counts_by_mmsi() -> None:
    rule = AlertRule(kinds=["entered"], watchlist_id=7)

    assert takes(rule, candidate(), frozenset({219000001}))
    assert not takes(rule, candidate(), frozenset({219000002}))
