"""Rendering, guarded for each message: a broken template costs its own words, never the message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Written:
    """A message with its words. `fresh`: they are not on the row yet."""

    checked: Checked
    outgoing: Outgoing
    fresh: bool


def write(checked: Checked, found: Loaded, context: CycleContext) -> Written:
    """The message as it leaves: the words of the first attempt if there was one, else rendered now.

    Raises whatever is wrong with our own code; a rule's own template cannot be the cause.
    """
    message, channel, user = checked.message, checked.channel, checked.user
    if user is None or channel is None:
        raise ValueError("a message without user or channel was not ended by the re-check")
    now = context.clock()
    fresh = not message.subject
    if fresh:
        rendered = _render(checked, found, context)
        message.subject, message.text, message.html = rendered.subject, rendered.text, rendered.html
    else:
        fresh = _say_late(checked, context)
    outgoing = Outgoing(
        message_id=message.message_id,
        address=channel.address,
        subject=message.subject,
        text=message.text,
        html=message.html,
        unsubscribe_url=unsubscribe_link(checked, user),
        at=now,
        return_path=return_address(message.pk) if channel.kind == ChannelKind.EMAIL else "",
        **for_programs(checked, found, now=now),
    )
    return Written(checked, outgoing, fresh)


def _say_late(checked: Checked, context: CycleContext) -> bool:
    """The words of the first attempt stay; that they come late is the one thing that is added to them."""
    message = checked.message
    if context.clock() - message.due_at <= context.late_after:
        return False
    reader, sending = _to_whom(checked, context)
    words = late_add(message.text, message.html, sending=sending, reader=reader)
    if words is None:
        return False
    message.text, message.html = words
    return True


def _render(checked: Checked, found: Loaded, context: CycleContext) -> Rendered:
    kinds: dict[str, Callable[[Checked, Loaded, CycleContext], Rendered]] = {
        MessageKind.REALTIME: _realtime,
        MessageKind.DIGEST: _digest,
        MessageKind.SUMMARY: _summary,
        MessageKind.TEST: _test,
    }
    return kinds[checked.message.kind](checked, found, context)


def _realtime(checked: Checked, found: Loaded, context: CycleContext) -> Rendered:
    reader, sending = _to_whom(checked, context)
    told = checked.wanted[0]
    alert = alert_of(told, found)
    facts = RealtimeFacts(reader=reader, sending=sending, alert=alert)
    try:
        return render_realtime(facts, template=alert.template)
    except TemplateFault as fault:
        _report_template(told, fault, str(fault))
        return render_realtime(replace(facts, alert=replace(alert, template=None)))


def _digest(checked: Checked, found: Loaded, context: CycleContext) -> Rendered:
    reader, sending = _to_whom(checked, context)
    window = found.digests[checked.message.pk]
    rendered = render_digest(
        DigestFacts(
            reader=reader,
            sending=sending,
            cadence=DigestCadence(window.cadence),
            since=window.since,
            alerts=tuple(alert_of(one, found) for one in checked.wanted),
            history_link=links.history_url(),
        )
    )
    by_reference = {str(one.pk): one for one in checked.wanted}
    for problem in rendered.problems:
        _report_template(by_reference[problem.reference], None, problem.error, problem.traceback)
    return rendered


def _summary(checked: Checked, found: Loaded, context: CycleContext) -> Rendered:
    reader, sending = _to_whom(checked, context)
    stale = tuple(
        StaleAlert(alert=alert_of(one, found), due_at=one.due_at, reason=one.reason) for one in checked.wanted
    )
    return render_summary(
        SummaryFacts(
            reader=reader,
            sending=sending,
            stale=stale,
            stale_after=context.stale_after,
            history_link=links.history_url(),
        )
    )


def _test(checked: Checked, found: Loaded, context: CycleContext) -> Rendered:
    reader, sending = _to_whom(checked, context)
    name = checked.channel.name if checked.channel else ""
    return render_test(TestFacts(reader=reader, sending=sending, channel=name))


def _to_whom(checked: Checked, context: CycleContext) -> tuple[Reader, Sending]:
    assert checked.user is not None
    return reader_of(checked.user), sending_of(checked, checked.user, context, now=context.clock())


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
