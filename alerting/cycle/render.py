"""Rendering, guarded for each message: a broken template costs its own words, never the message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from accounts.models import ChannelKind
from alerting import links
from alerting.bounces.addresses import return_address
from alerting.cycle.context import CycleContext
from alerting.cycle.facts import alert_of, reader_of, sending_of, unsubscribe_link
from alerting.cycle.for_programs import for_programs
from alerting.cycle.load import Loaded
from alerting.cycle.recheck import Checked
from alerting.models import MessageKind, Notification
from alerting.rendering import (
    TemplateFault,
    late_add,
    render_digest,
    render_realtime,
    render_summary,
    render_test,
)
from alerting.rendering.facts import (
    DigestCadence,
    DigestFacts,
    Reader,
    RealtimeFacts,
    Rendered,
    Sending,
    StaleAlert,
    SummaryFacts,
    TestFacts,
)
from alerting.transports import Outgoing
from resilience.incidents import incident_report


class Written(NamedTuple):
    """A message with its words. `fresh`: they are not on the row yet."""

    checked: Checked
    outgoing: Outgoing
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Letter:
    """What is told, and to whom."""

    checked: Checked
    found: Loaded
    context: CycleContext
    reader: Reader
    sending: Sending


def write(checked: Checked, found: Loaded, context: CycleContext) -> Written:
    """The message as it leaves: the words of the first attempt if there was one, else rendered now.

    Raises whatever is wrong with our own code; a rule's own template cannot be the cause.
    """
    message, channel, user = checked.message, checked.channel, checked.user
    if user is None or channel is None:
        raise ValueError("a message without user or channel was not ended by the re-check")
    now = context.clock()
    unsubscribe_url = unsubscribe_link(checked, user)
    fresh = False
    if not message.is_written or now - message.due_at > context.late_after:
        sending = sending_of(message, user, context, now=now, unsubscribe_url=unsubscribe_url)
        fresh = _words_make(_Letter(checked, found, context, reader_of(user), sending))
    outgoing = Outgoing(
        message_id=message.message_id,
        address=channel.address,
        subject=message.subject,
        text=message.text,
        html=message.html,
        unsubscribe_url=unsubscribe_url,
        at=now,
        return_path=return_address(message.pk) if channel.kind == ChannelKind.EMAIL else "",
        **for_programs(checked, found, now=now),
    )
    return Written(checked, outgoing, fresh)


def _words_make(letter: _Letter) -> bool:
    """Words of the first attempt stay; that they come late is the one thing that is added to them. Returns whether the
    words changed."""
    message = letter.checked.message
    if not message.is_written:
        rendered = _render(letter)
        message.subject, message.text, message.html = rendered.subject, rendered.text, rendered.html
        return True
    words = late_add(message.text, message.html, sending=letter.sending, reader=letter.reader)
    if words is None:
        return False
    message.text, message.html = words
    return True


def _render(letter: _Letter) -> Rendered:
    kinds: dict[str, Callable[[_Letter], Rendered]] = {
        MessageKind.REALTIME: _realtime,
        MessageKind.DIGEST: _digest,
        MessageKind.SUMMARY: _summary,
        MessageKind.TEST: _test,
    }
    return kinds[letter.checked.message.kind](letter)


def _realtime(letter: _Letter) -> Rendered:
    told = letter.checked.wanted[0]
    alert = alert_of(told, letter.found)
    facts = RealtimeFacts(reader=letter.reader, sending=letter.sending, alert=alert)
    try:
        return render_realtime(facts, template=alert.template)
    except TemplateFault as fault:
        _report_template(told, fault, str(fault))
        return render_realtime(replace(facts, alert=replace(alert, template=None)))


def _digest(letter: _Letter) -> Rendered:
    window = letter.found.digests[letter.checked.message.pk]
    rendered = render_digest(
        DigestFacts(
            reader=letter.reader,
            sending=letter.sending,
            cadence=DigestCadence(window.cadence),
            since=window.since,
            alerts=tuple(alert_of(one, letter.found) for one in letter.checked.wanted),
            history_link=links.history_url(),
        )
    )
    by_reference = {str(one.pk): one for one in letter.checked.wanted}
    for problem in rendered.problems:
        _report_template(by_reference[problem.reference], None, problem.error, problem.traceback)
    return rendered


def _summary(letter: _Letter) -> Rendered:
    stale = tuple(
        StaleAlert(alert=alert_of(one, letter.found), due_at=one.due_at, reason=one.reason)
        for one in letter.checked.wanted
    )
    return render_summary(
        SummaryFacts(
            reader=letter.reader,
            sending=letter.sending,
            stale=stale,
            stale_after=letter.context.stale_after,
            history_link=links.history_url(),
        )
    )


def _test(letter: _Letter) -> Rendered:
    name = letter.checked.channel.name if letter.checked.channel else ""
    return render_test(TestFacts(reader=letter.reader, sending=letter.sending, channel=name))


def _report_template(told: Notification, fault: TemplateFault | None, error: str, trace: str = "") -> None:
    """One incident for each version of a rule: its messages go out in the built-in words meanwhile."""
    rule = told.subscription.rule
    trace = trace or (fault.traceback if fault else "")
    incident_report(
        kind="template_fault",
        summary=f"The template of rule “{rule.name}” fails: {error}. Its messages use the built-in text.",
        fingerprint=f"template_fault:{rule.pk}:{rule.version}",
        error=fault,
        details={
            "rule": rule.pk,
            "notification": told.pk,
            "organisation": told.organisation_id,
            "traceback": trace,
        },
    )
