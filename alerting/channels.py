"""What refusals do to a channel: after a hard bounce, or three permanent refusals in a row, it is used no more.

Its owner hears of it by another channel, and on every page; so do the managers of the organisation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Max, QuerySet

from accounts.local_time import DateFormat
from accounts.models import Channel, User
from accounts.roles import Role
from alerting import links
from alerting.messages import message_new
from alerting.models import ErrorKind, Message, MessageKind, State
from alerting.rendering import render_disabled
from alerting.rendering.facts import DisabledFacts, Reader, Sending
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)

REFUSALS_TO_DISABLE = 3
# Of the newest messages of a channel; no index knows when a message ended, and a channel may have had 100,000.
_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that a channel refused for good. `bounced`: the address does not exist."""

    channel_id: int
    reason: str
    bounced: bool
    at: datetime


@transaction.atomic
def channels_refused(refusals: Iterable[Refusal]) -> list[Channel]:
    """Disable channels that are of no use any more. The refused messages' own end must be written before, in the same
    transaction; in it the notices are queued too.

    Returns the channels that were disabled by this call; tell operations of them with `channel_disabled_report`.
    """
    # channels are locked in one order, so that two senders never wait for each other
    ordered = sorted(refusals, key=lambda refusal: refusal.channel_id)
    return [channel for refusal in ordered if (channel := _refused(refusal)) is not None]


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
    channel.disabled_reason = _why_disable(channel, refusal)[:500]
    if not channel.disabled_reason:
        return None
    channel.disabled_at = refusal.at
    channel.save(update_fields=["disabled_at", "disabled_reason"])
    for reader in (channel.user, *_managers_of(channel.user)):
        _queue_notice(channel, reader, now=refusal.at)
    return channel


def _why_disable(channel: Channel, refusal: Refusal) -> str:
    """ "" if it stays in use."""
    if refusal.bounced:
        return f"Its address was refused: {refusal.reason}"
    if _refused_in_a_row(channel):
        return f"It refused {REFUSALS_TO_DISABLE} messages in a row: {refusal.reason}"
    return ""


def _refused_in_a_row(channel: Channel) -> bool:
    """Whether the last messages that it got, by the time of their last attempt, were all refused for good.

    Asked of the messages and not counted: several end in one transaction, and what a relay accepted may come back long
    after, when others were accepted. A channel that was confirmed again begins anew.
    """
    newest = Message.objects.filter(channel=channel, state__in=[State.SENT, State.FAILED]).order_by("-pk")
    last = (
        Message.objects.filter(pk__in=newest.values("pk")[:_LOOKED_AT])
        .annotate(ended_at=Max("attempts__ended_at"))
        .filter(ended_at__gte=channel.verified_at or channel.created_at)
        .order_by("-ended_at", "-pk")
        .values_list("state", "error_kind")[:REFUSALS_TO_DISABLE]
    )
    return list(last) == [(State.FAILED, ErrorKind.PERMANENT)] * REFUSALS_TO_DISABLE


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
