"""From facts to messages: the one place that a send cycle calls."""

from __future__ import annotations

from datetime import datetime, timedelta

from accounts.local_time import duration_in_words, format_date, format_time, format_time_with_offset, local_date
from alerting.rendering import rule_templates
from alerting.rendering.details import place, sections, template_values
from alerting.rendering.facts import (
    Alert,
    DigestCadence,
    DigestFacts,
    DisabledFacts,
    Reader,
    RealtimeFacts,
    Rendered,
    Sending,
    Severity,
    StaleAlert,
    SummaryFacts,
    TemplateProblem,
    TestFacts,
)
from alerting.rendering.html import write_html
from alerting.rendering.lateness import late_notices
from alerting.rendering.letters import Footer, Letter
from alerting.rendering.lists import counted, listed
from alerting.rendering.plain import one_line
from alerting.rendering.sentences import named, notes, sentence, subject, subject_line
from alerting.rendering.text import write_text

_CADENCES = {DigestCadence.DAILY: "Daily", DigestCadence.WEEKLY: "Weekly"}


def render_realtime(facts: RealtimeFacts, *, template: str | None = None) -> Rendered:
    """One alert. `template` is the rule's own; without it (or with an empty one) the built-in sentence is used.

    Raises `TemplateFault` when the rule's own template fails: call again without it.
    """
    alert, reader = facts.alert, facts.reader
    headline, title = sentence(alert, reader), subject(alert)
    if template and template.strip():
        written = rule_templates.write(template, template_values(alert, reader))
        headline = written.body
        if written.subject and one_line(written.subject):
            title = subject_line(written.subject, alert.severity)
    letter = Letter(
        subject=title,
        preheader=_preheader(alert, reader),
        label=one_line(alert.rule),
        headline=headline,
        critical=alert.severity is Severity.CRITICAL,
        notices=late_notices(facts.sending, reader),
        paragraphs=notes(alert),
        sections=sections(alert, reader),
        button="Open this alert",
        link=alert.link,
        footer=_footer(
            facts.sending, f"You get this message because you subscribe to the rule “{one_line(alert.rule)}”."
        ),
    )
    return _written(letter)


def render_digest(facts: DigestFacts) -> Rendered:
    """All alerts of a window, by rule and area.

    An item that cannot be rendered is told by the built-in sentence and named in `problems`.
    """
    reader, count = facts.reader, len(facts.alerts)
    critical = sum(alert.severity is Severity.CRITICAL for alert in facts.alerts)
    groups, more, problems = listed(facts.alerts, reader)
    day = format_date(local_date(facts.sending.due_at, reader.time_zone), reader.date_format)
    cadence = _CADENCES[facts.cadence]
    urgent = f" ({critical} critical)" if critical else ""
    letter = Letter(
        subject=subject_line(f"{cadence} digest {day}: {counted(count, 'alert')}{urgent}"),
        preheader="; ".join(f"{group.title}: {group.count} in {group.subtitle}" for group in groups[:3]),
        label=f"{cadence} digest",
        headline=f"{counted(count, 'alert')}{urgent}",
        notices=late_notices(facts.sending, reader),
        paragraphs=(_window(facts),),
        groups=groups,
        more=more,
        button="Open your history",
        link=facts.history_link,
        footer=_footer(facts.sending, f"You get this digest because you chose {cadence.lower()} alerts."),
    )
    return _written(letter, problems)


def render_summary(facts: SummaryFacts) -> Rendered:
    """What was not sent in time, and why."""
    reader, count = facts.reader, len(facts.stale)
    groups, more, problems = listed(
        tuple(item.alert for item in facts.stale), reader, notes=tuple(_why_stale(item, reader) for item in facts.stale)
    )
    told = f"{counted(count, 'alert')} {'was' if count == 1 else 'were'} not sent in time"
    letter = Letter(
        subject=subject_line(f"Late: {told}"),
        preheader="Sending works again. What you missed is listed here, with the reasons.",
        label="Summary of late alerts",
        headline=told,
        notices=late_notices(facts.sending, reader),
        paragraphs=(_why_late(facts.stale_after),),
        groups=groups,
        more=more,
        button="Open your history",
        link=facts.history_link,
        footer=_footer(facts.sending, "You get this summary because you subscribe to these rules."),
    )
    return _written(letter, problems)


def render_test(facts: TestFacts) -> Rendered:
    """A message that only proves that a channel works."""
    channel = one_line(facts.channel)
    written_at = format_time_with_offset(facts.sending.now, facts.reader.time_zone, facts.reader.date_format)
    letter = Letter(
        subject="Test message from Watchkeeper",
        preheader=f"Alerts can reach you on {channel}.",
        label="Test message",
        headline=f"This is a test: alerts can reach you on {channel}",
        paragraphs=(
            (
                f"It was written at {written_at}, which is how your alerts show times. "
                "No vessel did anything, and there is nothing to do."
            ),
        ),
        button="Open Watchkeeper",
        link=facts.sending.site_link,
        footer=_footer(facts.sending, "You get this message because somebody asked for a test of this channel."),
    )
    return _written(letter)


def render_disabled(facts: DisabledFacts) -> Rendered:
    """To the owner of a channel by another one, and to who manages the owner's organisation."""
    channel, owner = one_line(facts.channel), one_line(facts.owner)
    address = one_line(facts.address, limit=254)
    whose = f"{owner}’s channel" if owner else "Your channel"
    todo = (
        f"{owner} can take it up again on the page of channels, by confirming the address."
        if owner
        else "Confirm the address again on the page of your channels, or choose another channel for your subscriptions."
    )
    letter = Letter(
        subject=subject_line(f"{whose} “{channel}” no longer gets alerts"),
        preheader=f"{address}: {one_line(facts.reason)}",
        label="Channel disabled",
        headline=f"{whose} “{channel}” no longer gets alerts",
        paragraphs=(
            f"{address}: {one_line(facts.reason, limit=500)}",
            "Alerts for it are kept in the history, and are not sent.",
            todo,
        ),
        button="Open the channels",
        link=facts.link,
        footer=_footer(facts.sending, "You get this message because alerts would otherwise be missed unnoticed."),
    )
    return _written(letter)


def _written(letter: Letter, problems: tuple[TemplateProblem, ...] = ()) -> Rendered:
    return Rendered(subject=letter.subject, text=write_text(letter), html=write_html(letter), problems=problems)


def _footer(sending: Sending, reason: str) -> Footer:
    return Footer(reason, sending.site_link, one_line(sending.organisation), sending.unsubscribe_link)


def _preheader(alert: Alert, reader: Reader) -> str:
    # Beside the subject in a list of mails: what the subject leaves out.
    parts = [format_time(alert.occurred_at, reader.time_zone, reader.date_format)]
    parts += [where] if (where := place(alert)) else []
    if not named(alert.vessel).startswith("MMSI"):
        parts.append(f"MMSI {alert.vessel.mmsi:09}")
    return " · ".join(parts)


def _window(facts: DigestFacts) -> str:
    def shown(at: datetime) -> str:
        return format_time_with_offset(at, facts.reader.time_zone, facts.reader.date_format)

    until = shown(facts.sending.due_at)
    return f"Until {until}." if facts.since is None else f"From {shown(facts.since)} until {until}."


def _why_late(stale_after: timedelta) -> str:
    return (
        f"An alert that cannot be sent within {duration_in_words(stale_after)} of when it was due is no longer sent by "
        "itself. Sending works again. This list is late, but nothing is lost: every alert is kept in your history."
    )


def _why_stale(item: StaleAlert, reader: Reader) -> str:
    due = format_time_with_offset(item.due_at, reader.time_zone, reader.date_format)
    return f"Due {due}, not sent: {one_line(item.reason, limit=200).rstrip('.')}"
