"""What could not be sent in time ends as stale: kept, shown, and told in a summary once sending works again."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Exists, ExpressionWrapper, OuterRef, QuerySet

from accounts.models import Channel
from alerting.cycle.queue import senders_wake
from alerting.cycle.recheck import stale_reason
from alerting.cycle.ways_out import kinds_shut
from alerting.messages import message_new
from alerting.models import WORDS, Lease, Message, MessageKind, Notification, State
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)

BATCH = 500


def stale_step(*, now: datetime) -> int:
    """End what is past its time, in messages or still waiting for a digest. Returns how many rows were ended."""
    ended = _end_messages(now=now) + _end_unattached(now=now, stale_after=settings.STALE_AFTER)
    if ended:
        incident_report(
            kind="messages_stale",
            summary=f"{ended} messages or notifications could not be sent in time. They are kept and can be retried.",
            fingerprint="messages_stale",
            details={"ended": ended},
        )
    return ended


@transaction.atomic
def _end_messages(*, now: datetime) -> int:
    expired = _locked_expired(now=now)
    for message in expired:
        message.reason, message.state = stale_reason(message.due_at, message.reason), State.STALE
        Notification.objects.filter(message=message, state=State.PENDING).update(
            state=State.STALE, reason=message.reason
        )
        if message.kind == MessageKind.SUMMARY:  # the next summary tells of them
            Notification.objects.filter(summary=message).update(summary=None)
    Message.objects.bulk_update(expired, ["state", "reason"])
    return len(expired)


def _locked_expired(*, now: datetime) -> list[Message]:
    """Those that no worker holds, nor takes before the transaction ends."""
    locked = list(
        Message.objects.select_for_update(skip_locked=True)
        .defer(*WORDS)
        .filter(~Exists(Lease.objects.filter(message=OuterRef("pk"))), state=State.PENDING, expires_at__lte=now)
        .order_by("expires_at")[:BATCH]
    )
    # asked again once they are locked: one may have been taken while we looked for them
    held = set(Lease.objects.filter(message__in=locked).values_list("pk", flat=True))
    return [message for message in locked if message.pk not in held]


@transaction.atomic
def _end_unattached(*, now: datetime, stale_after: timedelta) -> int:
    waiting = (
        Notification.objects.unattached()
        .select_for_update(skip_locked=True)
        .filter(due_at__lte=now - stale_after)
        .order_by("due_at")
        .values_list("pk", flat=True)[:BATCH]
    )
    return Notification.objects.filter(pk__in=list(waiting)).update(
        state=State.STALE, reason="No digest was made in time."
    )


def summary_step(*, now: datetime) -> int:
    """A summary for each channel whose kind has sent something since its notifications went stale.

    Returns how many notifications are told of.
    """
    by_channel: dict[int, list[int]] = defaultdict(list)
    for key, channel_id in _untold().values_list("pk", "channel_id")[:BATCH]:
        by_channel[channel_id].append(key)
    return sum(_summary_make(channel_id, keys, now=now) for channel_id, keys in by_channel.items())


def _untold() -> QuerySet[Notification]:
    """Stale, nobody was told, and the way out works again: the same kind of channel sent something since."""
    went_stale = ExpressionWrapper(OuterRef("due_at") + settings.STALE_AFTER, output_field=DateTimeField())
    sent_since = Message.objects.filter(
        state=State.SENT, channel__kind=OuterRef("channel__kind"), sent_at__gt=went_stale
    )
    return (
        Notification.objects.filter(
            state=State.STALE,
            summary__isnull=True,
            handled_at__isnull=True,
            channel__verified_at__isnull=False,
            channel__disabled_at__isnull=True,
            subscription__user__deleted_at__isnull=True,
        )
        .exclude(channel__kind__in=kinds_shut())
        .filter(Exists(sent_since))
        .order_by("pk")
    )


@transaction.atomic
def _summary_make(channel_id: int, keys: list[int], *, now: datetime) -> int:
    stale = list(Notification.objects.select_for_update().filter(pk__in=keys, state=State.STALE, summary__isnull=True))
    if not stale:  # another process was first
        return 0
    message = message_new(
        organisation_id=stale[0].organisation_id,
        channel=Channel.objects.get(pk=channel_id),
        kind=MessageKind.SUMMARY,
        due_at=now,
        now=now,
    )
    message.save()
    Notification.objects.filter(pk__in=[one.pk for one in stale]).update(summary=message)
    senders_wake("digest")
    log.info("summary_made", message=message.pk, notifications=len(stale))
    return len(stale)
