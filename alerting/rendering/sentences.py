"""What happened, in one sentence: the product's three, and the careful ones.

A crossing that nobody witnessed is never told as if its moment were known; a silence is told as what it is.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from accounts.local_time import duration_in_words, format_time
from alerting.rendering.facts import Alert, Kind, Reader, Severity, Vessel
from alerting.rendering.plain import SUBJECT_LIMIT, one_line, vessel_name

UNWITNESSED_AFTER = timedelta(hours=1)  # positions further apart than this do not witness a crossing

_SUBJECTS = {
    Kind.ENTERED: "{vessel} entered {area}",
    Kind.EXITED: "{vessel} exited {area}",
    Kind.APPEARED: "{vessel} first heard inside {area}",
    Kind.MISSING: "{vessel} stopped reporting AIS within {area}",
    Kind.RESUMED: "{vessel} reports AIS again {where} {area}",
}
_UNWITNESSED_SUBJECTS = {
    Kind.ENTERED: "{vessel} now heard inside {area}",
    Kind.EXITED: "{vessel} now heard outside {area}",
}


def named(vessel: Vessel) -> str:
    """The vessel's name, or "MMSI 512345678" where it has none."""
    return vessel_name(vessel.name) or f"MMSI {vessel.mmsi:09}"


def is_unwitnessed(alert: Alert) -> bool:
    """Whether more than an hour lies between the positions before and after a crossing."""
    if alert.kind not in _UNWITNESSED_SUBJECTS or alert.not_before is None:
        return False
    return (alert.not_after or alert.occurred_at) - alert.not_before > UNWITNESSED_AFTER


def sentence(alert: Alert, reader: Reader) -> str:
    """The built-in sentence, without a full stop, times in the reader's zone."""
    vessel, area = f"Vessel {named(alert.vessel)}", f"area {one_line(alert.area)}"
    if is_unwitnessed(alert):
        return _unwitnessed(alert, reader, vessel, area)
    happened = _said(alert.occurred_at, reader)
    match alert.kind:
        case Kind.ENTERED:
            return f"{vessel} has entered {area} at {happened}"
        case Kind.EXITED:
            return f"{vessel} has exited {area} at {happened}"
        case Kind.APPEARED:
            return f"{vessel} was heard for the first time, inside {area}, at {happened}"
        case Kind.MISSING:
            return _missing(alert, reader, vessel, area)
        case Kind.RESUMED:
            after = f" after {duration_in_words(alert.gap)} of silence" if alert.gap is not None else ""
            return f"{vessel} has resumed reporting AIS {_where(alert)} {area} at {happened}{after}"


def notes(alert: Alert) -> tuple[str, ...]:
    """What a careful reader must know before acting on the sentence."""
    if is_unwitnessed(alert):
        return ("Nobody heard the vessel cross the boundary: when and where it crossed is not known.",)
    if alert.kind is Kind.APPEARED:
        return ("It was never heard before, so where it came from is not known.",)
    if alert.kind is Kind.MISSING:
        return (
            (
                "The feed was receiving other vessels during that time. A silent vessel may have switched off its AIS, "
                "lost it, or left the reach of the receivers."
            ),
        )
    return ()


def subject(alert: Alert) -> str:
    """What happened to whom and where, short enough for a phone's list; critical ones say so first."""
    patterns = _UNWITNESSED_SUBJECTS if is_unwitnessed(alert) else _SUBJECTS
    told = patterns[alert.kind].format(vessel=named(alert.vessel), area=one_line(alert.area), where=_where(alert))
    return subject_line(told, alert.severity)


def subject_line(told: str, severity: Severity = Severity.NORMAL) -> str:
    """Any text as a subject: one bounded line without control or direction characters."""
    return one_line(f"Critical: {told}" if severity is Severity.CRITICAL else told, limit=SUBJECT_LIMIT)


def _unwitnessed(alert: Alert, reader: Reader, vessel: str, area: str) -> str:
    before = _said(alert.not_before or alert.occurred_at, reader)
    after = _said(alert.not_after or alert.occurred_at, reader)
    inwards = alert.kind is Kind.ENTERED
    crossed, was, now = ("into", "outside", "inside") if inwards else ("out of", "inside", "outside")
    return f"{vessel} has crossed {crossed} {area}: last heard {was} at {before}, next heard {now} at {after}"


def _missing(alert: Alert, reader: Reader, vessel: str, area: str) -> str:
    told = f"{vessel} has stopped reporting AIS within {area}"
    if alert.gap_start is not None:
        told += f" from {_said(alert.gap_start, reader)}"
    return told if alert.duration is None else f"{told} for over {duration_in_words(alert.duration)}"


def _where(alert: Alert) -> str:
    # Not known: "near" would be a claim, "for" is none.
    return {True: "within", False: "outside", None: "for"}[alert.inside]


def _said(at: datetime, reader: Reader) -> str:
    return format_time(at, reader.time_zone, reader.date_format)
