"""An alert rule in plain words: when, where, which vessels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.local_time import duration_in_words
from alerting.models import AlertRule, ShipType
from vessels.mid import country_name
from vessels.models import EventKind

_WHEN = {
    EventKind.ENTERED: "enters",
    EventKind.EXITED: "leaves",
    EventKind.APPEARED: "is heard inside for the first time",
    EventKind.MISSING: "stops reporting",
    EventKind.RESUMED: "reports again",
}
_CLASSES = {"A": "class A", "B": "class B", "": "unknown class"}


@dataclass(frozen=True, slots=True)
class RuleWords:
    """The parts of a rule, each a phrase."""

    when: str
    areas: tuple[str, ...]
    vessels: str


def rule_in_words(rule: AlertRule, area_names: Sequence[str]) -> RuleWords:
    """`area_names` are those of the rule's areas. Reads `rule.watchlist`: select it with the rule."""
    return RuleWords(_when(rule), tuple(area_names), _vessels(rule))


def _when(rule: AlertRule) -> str:
    told = [_WHEN[kind] for kind in EventKind if kind in rule.kinds]
    if EventKind.MISSING in rule.kinds and rule.missing_for is not None:
        told[told.index(_WHEN[EventKind.MISSING])] += f" for over {duration_in_words(rule.missing_for)}"
    return f"A vessel {_or(told)}"


def _vessels(rule: AlertRule) -> str:
    if rule.all_vessels:
        told = "All vessels"
    else:
        told = ", ".join(_selection(rule))
        told = told[:1].upper() + told[1:]
    stopped = EventKind.MISSING in rule.kinds and rule.include_stopped
    return f"{told}, also at anchor or moored" if stopped else told


def _selection(rule: AlertRule) -> list[str]:
    types = {choice.value: choice.label.split(" (")[0].lower() for choice in ShipType}
    parts = [
        f"on the watchlist {rule.watchlist}" if rule.watchlist is not None else "",
        f"under the flag of {_or([country_name(flag) or flag for flag in rule.flags])}" if rule.flags else "",
        f"of type {_or([types[name] for name in rule.ship_types])}" if rule.ship_types else "",
        f"with AIS of {_or([_CLASSES[name] for name in rule.classes])}" if rule.classes else "",
        _length(rule.min_length_m, rule.max_length_m),
    ]
    return [f"vessels {part}" if number == 0 else part for number, part in enumerate(filter(None, parts))]


def _length(least: float | None, greatest: float | None) -> str:
    if least is not None and greatest is not None:
        return f"{least:g} to {greatest:g} m long"
    if least is not None:
        return f"{least:g} m or longer"
    return f"up to {greatest:g} m long" if greatest is not None else ""


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
