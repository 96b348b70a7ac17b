"""The details under a headline, and the values that a rule's own template may use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import isfinite

from accounts.local_time import duration_in_words, format_clock, format_time, format_time_with_offset, local_date
from alerting.rendering.facts import Alert, Kind, Reader, Vessel
from alerting.rendering.letters import Row, Section
from alerting.rendering.places import course_in_words, distance_in_words, position_in_words, speed_in_words
from alerting.rendering.plain import one_line, vessel_name
from alerting.rendering.sentences import is_unwitnessed, named, sentence

UNKNOWN = "unknown"


def sections(alert: Alert, reader: Reader) -> tuple[Section, ...]:
    """When and where it happened, who it is, and which rule asked."""
    return (
        Section("When", tuple(_times(alert, reader))),
        Section("Where", tuple(_place(alert))),
        Section("Vessel", _vessel(alert.vessel)),
        Section("Rule", tuple(_rule(alert))),
    )


def _vessel(vessel: Vessel) -> tuple[Row, ...]:
    """Who it is. MMSI, IMO and flag always; the rest where it is known."""
    rows = [
        Row("Name", vessel_name(vessel.name) or UNKNOWN),
        Row("MMSI", f"{vessel.mmsi:09}"),
        Row("IMO", str(vessel.imo) if vessel.imo else UNKNOWN),
        Row("Flag", one_line(vessel.flag or "") or UNKNOWN),
    ]
    length = f"{vessel.length_m} m" if vessel.length_m else ""
    call_sign, ship_type = vessel_name(vessel.call_sign), one_line(vessel.ship_type or "")
    rows += [
        Row(label, value)
        for label, value in (("Call sign", call_sign), ("Type", ship_type), ("Length", length))
        if value
    ]
    return tuple(rows)


def place(alert: Alert) -> str:
    """The position in words; "" where there is none."""
    if alert.lon is None or alert.lat is None or not (isfinite(alert.lon) and isfinite(alert.lat)):
        return ""
    return position_in_words(alert.lon, alert.lat)


def entry_details(alert: Alert, reader: Reader) -> tuple[str, ...]:
    """Two lines for a list: place, MMSI and flag; and the three times."""
    who = [place(alert), f"MMSI {alert.vessel.mmsi:09}", one_line(alert.vessel.flag or "")]
    return " · ".join(part for part in who if part), _three_times(alert, reader)


def template_values(alert: Alert, reader: Reader) -> dict[str, str]:
    """A value for each of `rule_templates.VARIABLES`, each one line of plain text."""
    vessel = alert.vessel
    return {
        "sentence": sentence(alert, reader),
        "event": alert.kind.value,
        "vessel": named(vessel),
        "mmsi": f"{vessel.mmsi:09}",
        "imo": str(vessel.imo or ""),
        "flag": one_line(vessel.flag or ""),
        "call_sign": vessel_name(vessel.call_sign),
        "ship_type": one_line(vessel.ship_type or ""),
        "area": one_line(alert.area),
        "rule": one_line(alert.rule),
        "severity": alert.severity.value,
        "happened": _said(alert.occurred_at, reader),
        "received": _said(alert.received_at, reader),
        "noticed": _said(alert.detected_at, reader),
        "before": _said(alert.not_before, reader),
        "after": _said(alert.not_after, reader),
        "last_heard": _said(alert.gap_start, reader),
        "duration": duration_in_words(alert.duration) if alert.duration is not None else "",
        "gap": duration_in_words(alert.gap) if alert.gap is not None else "",
        "position": place(alert),
        "speed": speed_in_words(alert.speed) if alert.speed is not None else "",
        "course": course_in_words(alert.course) if alert.course is not None else "",
        "link": alert.link,
    }


def _times(alert: Alert, reader: Reader) -> Iterator[Row]:
    happened = "Happened"
    if alert.kind in (Kind.ENTERED, Kind.EXITED):
        before, after = ("outside", "inside") if alert.kind is Kind.ENTERED else ("inside", "outside")
        first = (f"Last heard {before}", alert.not_before)
        happened = f"Next heard {after}" if is_unwitnessed(alert) else happened
    else:
        first = ("Last heard", alert.gap_start)
    times = (
        first,
        (happened, alert.occurred_at),
        ("Received", alert.received_at),
        ("Noticed", alert.detected_at),
    )
    for label, at in times:
        if at is not None:
            yield Row(label, format_time_with_offset(at, reader.time_zone, reader.date_format, seconds=True))
    if alert.gap is not None:
        yield Row("Silent for", duration_in_words(alert.gap))


def _three_times(alert: Alert, reader: Reader) -> str:
    # The date once, where all three are on the same day.
    happened_on = local_date(alert.occurred_at, reader.time_zone)
    label = "Next heard" if is_unwitnessed(alert) else "Happened"
    told = [f"{label} {_said(alert.occurred_at, reader)}"]
    for label, at in (("received", alert.received_at), ("noticed", alert.detected_at)):
        if at is not None:
            same_day = local_date(at, reader.time_zone) == happened_on
            told.append(f"{label} {format_clock(at, reader.time_zone) if same_day else _said(at, reader)}")
    return ", ".join(told)


def _place(alert: Alert) -> Iterator[Row]:
    missing = alert.kind is Kind.MISSING
    yield Row("Area", one_line(alert.area))
    yield Row("Last position" if missing else "Position", place(alert) or UNKNOWN)
    if alert.boundary_nm is not None:
        yield Row("To the boundary", distance_in_words(alert.boundary_nm))
    if alert.speed is not None:
        yield Row("Last speed" if missing else "Speed", speed_in_words(alert.speed))
    if alert.course is not None:
        yield Row("Last course" if missing else "Course", course_in_words(alert.course))
    if alert.status:
        yield Row("Last status" if missing else "Status", one_line(alert.status))
    if alert.vessel_class:
        yield Row("AIS class", one_line(alert.vessel_class))
    if alert.feed:
        yield Row("Heard by", one_line(alert.feed))


def _rule(alert: Alert) -> Iterator[Row]:
    yield Row("Rule", one_line(alert.rule))
    yield Row("Severity", alert.severity.value)


def _said(at: datetime | None, reader: Reader) -> str:
    return format_time(at, reader.time_zone, reader.date_format) if at is not None else ""
