"""What refusals do to a channel: after a hard bounce, or three permanent refusals in a row, it is used no more.

Its owner hears of it by another channel, and on every page; so do the managers of the organisation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.local_time import DateFormat
from accounts.models import Channel, User
from accounts.roles import Role
from alerting import links
from alerting.messages import message_new
from alerting.models import Message, MessageKind
from alerting.rendering import render_disabled
from alerting.rendering.facts import DisabledFacts, Reader, Sending
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)

REFUSALS_TO_DISABLE = 3


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that a channel refused for good. `bounced`: the address does not exist."""

    channel_id: int
    reason: str
    bounced: bool
    at: datetime


def channels_answered(channel_ids: Collection[int]) -> None:
    """A message was taken: whatever was refused before was about that message."""
    Channel.objects.filter(pk__in=channel_ids, refusals__gt=0).update(refusals=0)


@transaction.atomic
def channels_refused(refusals: Iterable[Refusal]) -> list[Channel]:
    """Count refusals, and disable channels that are of no use any more. The notices are queued in the same transaction.

    Returns the channels that were disabled by this call; tell operations of them with `channel_disabled_report`.
    """
    return [channel for refusal in refusals if (channel := _refused(refusal)) is not None]


def channel_disabled_report(channel: Channel) -> None:
    """An incident, after the transaction."""
    log.warning("channel_disabled", channel=channel.pk, reason=channel.disabled_reason)
    incident_report(
        kind="channel_disabled",
        summary=f"A {channel.get_kind_display()} channel of user {channel.user_id} was disabled: "
        f"{channel.disabled_reason}",
        severity="warning",
        fingerprint=f"channel_disabled:{channel.pk}",
        details={"channel": channel.pk, "user": channel.user_id},
    )


def _refused(refusal: Refusal) -> Channel | None:
    channel = (
        Channel.objects.select_for_update(of=("self",), no_key=True)
        .select_related("user__organisation")
        .filter(pk=refusal.channel_id, disabled_at__isnull=True)
        .first()
    )
    if channel is None:
        return None
    channel.refusals += 1
    if refusal.bounced:
        channel.disabled_reason = f"Its address was refused: {refusal.reason}"[:500]
    elif channel.refusals >= REFUSALS_TO_DISABLE:
        channel.disabled_reason = f"It refused {channel.refusals} messages in a row: {refusal.reason}"[:500]
    channel.disabled_at = refusal.at if channel.disabled_reason else None
    channel.save(update_fields=["refusals", "disabled_at", "disabled_reason"])
    if channel.disabled_at is None:
        return None
    for reader in (channel.user, *_managers_of(channel.user)):
        _queue_notice(channel, reader, now=refusal.at)
    return channel


def _queue_notice(channel: Channel, reader: User, *, now: datetime) -> None:
    """To a person who has another way to hear of it; all others see it on their pages.

    A notice that cannot be made must not undo the record of what was refused.
    """
    try:
        with transaction.atomic():
            if (way := _usable_channel(reader)) is not None:
                _notice(channel, reader, way, now=now).save()
    except Exception as fault:
        log.exception("notice_not_made", channel=channel.pk, reader=reader.pk, error=str(fault))


def _managers_of(user: User) -> QuerySet[User]:
    managers: QuerySet[User] = User.objects.filter(
        organisation=user.organisation_id, role__in=[Role.MANAGER, Role.ADMINISTRATOR], deleted_at__isnull=True
    )
    return managers.exclude(pk=user.pk)


def _usable_channel(user: User) -> Channel | None:
    return user.channels.filter(verified_at__isnull=False, disabled_at__isnull=True).order_by("pk").first()


def _notice(channel: Channel, reader: User, way: Channel, *, now: datetime) -> Message:
    """The words are made here: the channel may have changed when the message leaves."""
    owner = channel.user
    organisation = owner.organisation
    if organisation is None:
        raise ValueError(f"channel {channel.pk} belongs to nobody's organisation")
    message = message_new(organisation_id=organisation.pk, channel=way, kind=MessageKind.NOTICE, due_at=now, now=now)
    rendered = render_disabled(
        DisabledFacts(
            reader=Reader(time_zone=reader.time_zone, date_format=DateFormat(reader.date_format)),
            sending=Sending(
                now=now,
                due_at=now,
                late_after=settings.LATE_AFTER,
                unsubscribe_link="",
                site_link=links.home_url(),
                organisation=organisation.name,
            ),
            channel=channel.name,
            address=channel.address,
            reason=channel.disabled_reason,
            owner="" if reader.pk == owner.pk else owner.name or owner.email,
            link=links.channels_url(),
        )
    )
    message.subject, message.text, message.html = rendered.subject, rendered.text, rendered.html
    return message
