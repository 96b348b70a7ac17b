"""What follows from a report: it is kept, the message counts as failed, and the channel is judged as while sending."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts.models import Channel
from alerting.bounces.reports import UNCLEAR, Report
from alerting.channels import Refusal, channel_disabled_report, channels_refused
from alerting.models import BounceReport, ErrorKind, Message, State
from alerting.transports import TransportError
from alerting.transports.email.mime import recipient_address
from resilience.incidents import incident_report


@dataclass(frozen=True, slots=True)
class Followed:
    """What one report changed. `new`: it had not come before."""

    new: bool
    failed: bool = False
    disabled: tuple[Channel, ...] = ()


def bounce_record(*, message_id: int, report: Report, source: str, now: datetime) -> Followed:
    """Keep the report and do what it asks for, once. Raises `Message.DoesNotExist`.

    A message that was sent counts as failed when its server has given up, so that its subscriber sees it and an
    operator can send it again. One that waits to be sent once more is left to its sender. What is in part, or unclear,
    changes nothing; operations hear of it.
    """
    with transaction.atomic():
        # of the messages' lock before that of notifications and channels: as the send cycle and operators take them
        message = Message.objects.select_for_update(of=("self",)).select_related("channel").get(pk=message_id)
        followed = _follow(message, report, source, now)
    if followed.failed or (followed.new and (report.in_part or report.action == UNCLEAR)):
        _tell(message, report)
    for channel in followed.disabled:
        channel_disabled_report(channel)
    return followed


def _follow(message: Message, report: Report, source: str, now: datetime) -> Followed:
    _, new = BounceReport.objects.get_or_create(
        message=message,
        fingerprint=report.fingerprint,
        defaults={
            "source": source,
            "action": report.action,
            "status": report.status,
            "said": report.said.replace("\x00", "\N{REPLACEMENT CHARACTER}"),
            "recipient": report.recipient.replace("\x00", ""),
            "by": report.by.replace("\x00", ""),
            "received_at": now,
        },
    )
    if not new or not report.final:
        return Followed(new)
    failed = message.state == State.SENT
    if failed:
        _fail(message, report)
    if report.verdict.kind != ErrorKind.PERMANENT:
        return Followed(new, failed)
    bounced = report.verdict.bounced and _is_about(report, message.channel.address)
    refusal = Refusal(message.channel_id, reason_of(report), bounced, now)
    return Followed(new, failed, tuple(channels_refused([refusal])))


def _is_about(report: Report, address: str) -> bool:
    """Whether the report is about the address that the mail was sent to.

    An alias passes mails on: that one of those behind it is gone does not make the alias wrong. Cases are not compared,
    for servers change them in either half.
    """
    try:
        return report.recipient.lower() == recipient_address(address).lower()
    except TransportError:  # it is no address any more
        return False


def reason_of(report: Report) -> str:
    """As the subscriber reads it."""
    said = report.said if report.status in report.said else f"{report.status} {report.said}".strip()
    return f"Accepted, then returned: {said or 'no reason was given'}"


def _fail(message: Message, report: Report) -> None:
    message.state, message.reason, message.sent_at = State.FAILED, reason_of(report), None
    message.error_kind = report.verdict.kind
    message.save(update_fields=["state", "reason", "sent_at", "error_kind"])
    told = message.notifications.filter(state=State.SENT)
    told.update(state=State.FAILED, reason=message.reason, sent_at=None)


def _tell(message: Message, report: Report) -> None:
    incident_report(
        kind="message_returned",
        summary=_summary(report),
        severity="warning",
        fingerprint=f"message_returned:{message.channel_id}",
        details={"message": message.pk, "channel": message.channel_id, "user": message.user_id},
    )


def _summary(report: Report) -> str:
    if report.action == UNCLEAR:
        return (
            f"A mail came back that is no report; its message still counts as sent. Please read it: {report.said[:200]}"
        )
    if report.in_part:
        return f"A message did not reach all who are behind its address, {report.recipient} for one: {report.said}"
    return f"A message was accepted, and came back: {reason_of(report)}"
