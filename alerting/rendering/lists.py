"""Many alerts in one message: grouped by rule and area, each item guarded by itself."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Sequence

from alerting.rendering import rule_templates
from alerting.rendering.details import entry_details, template_values
from alerting.rendering.facts import Alert, Reader, Severity, TemplateProblem
from alerting.rendering.letters import Entry, Group
from alerting.rendering.plain import one_line
from alerting.rendering.sentences import sentence

LISTED = 500  # entries that one message lists; mail readers and servers cut what is much longer


def listed(
    alerts: Sequence[Alert], reader: Reader, *, notes: Sequence[str] = ()
) -> tuple[tuple[Group, ...], str, tuple[TemplateProblem, ...]]:
    """The groups, what is left out in words, and the items whose own template failed.

    Critical groups come first, then by rule and area; within a group by time. `notes`, one for each alert, are
    shown with it. Counts are of all alerts, also of those beyond `LISTED`.
    """
    grouped = _grouped(alerts)
    problems: list[TemplateProblem] = []
    groups, room = [], LISTED
    for (severity, rule, area), places in grouped:
        shown = places[:room]
        room -= len(shown)
        entries = tuple(_entry(alerts[place], reader, notes[place] if notes else "", problems) for place in shown)
        count = counted(len(places), "alert")
        groups.append(Group(rule, area, count, severity is Severity.CRITICAL, entries))
    left_out = max(0, len(alerts) - LISTED)
    more = f"Not listed here, but counted above and kept in your history: {counted(left_out, 'alert')}."
    return tuple(groups), more if left_out else "", tuple(problems)


def counted(count: int, thing: str) -> str:
    """ "1 alert", "2 alerts"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _grouped(alerts: Sequence[Alert]) -> list[tuple[tuple[Severity, str, str], list[int]]]:
    groups: defaultdict[tuple[Severity, str, str], list[int]] = defaultdict(list)
    for place in sorted(range(len(alerts)), key=lambda place: alerts[place].occurred_at):
        alert = alerts[place]
        groups[alert.severity, one_line(alert.rule), one_line(alert.area)].append(place)
    return sorted(groups.items(), key=lambda item: (item[0][0] is not Severity.CRITICAL, item[0][1:]))


def _entry(alert: Alert, reader: Reader, note: str, problems: list[TemplateProblem]) -> Entry:
    """One entry. A failing template costs its own words; facts that cannot be told cost their own entry."""
    try:
        told = _own_words(alert, reader)
    except rule_templates.TemplateFault as fault:
        problems.append(_problem(alert, fault))
        told = ""
    try:
        told = told or sentence(alert, reader)
        details = entry_details(alert, reader)
    except Exception as fault:  # one bad row must not stop the others
        problems.append(_problem(alert, fault))
        told, details = f"Vessel MMSI {alert.vessel.mmsi}: this alert cannot be shown here, please open it", ()
    return Entry(told, (*details, note) if note else details, alert.link)


def _own_words(alert: Alert, reader: Reader) -> str:
    if not alert.template or not alert.template.strip():
        return ""
    return rule_templates.write(alert.template, template_values(alert, reader)).body


def _problem(alert: Alert, fault: Exception) -> TemplateProblem:
    trace = getattr(fault, "traceback", "") or "".join(traceback.format_exception(fault))
    return TemplateProblem(alert.reference, str(fault), trace)
