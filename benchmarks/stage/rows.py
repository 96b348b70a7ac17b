"""Rows of ours in bulk: an organisation with many users, each with one channel, and messages that are due."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from itertools import count

from django.db import connection, transaction

from accounts.models import Channel, Organisation, User
from alerting.messages import message_new
from alerting.models import (
    AlertRule,
    Message,
    MessageKind,
    Notification,
    Subscription,
    SubscriptionChannel,
)
from alerting.rules.actions import rule_save
from benchmarks.sender.mails import mail
from vessels.areas import AreaContent, area_save, stored_geometry
from vessels.models import Area, Event, Feed, Vessel

_SQUARE = {"type": "Polygon", "coordinates": [[[174, -37], [175, -37], [175, -36], [174, -36], [174, -37]]]}
_MMSI = 512_000_000
VESSELS = 500


@transaction.atomic
def recipients_make(number: int, *, now: datetime) -> tuple[Organisation, list[Channel]]:
    """So many users of one organisation, each with a verified e-mail channel; those there are count."""
    organisation, _ = Organisation.objects.get_or_create(slug="bench", defaults={"name": "Bench", "time_zone": "UTC"})
    have = User.objects.filter(organisation=organisation).count()
    users = User.objects.bulk_create(
        User(organisation=organisation, email=mail(each).address, name=f"Reader {each}", password="!")
        for each in range(have, number)
    )
    Channel.objects.bulk_create(
        Channel(user=user, kind="email", name="mail", address=user.email, verified_at=now) for user in users
    )
    return organisation, list(Channel.objects.filter(user__organisation=organisation).order_by("pk")[:number])


def queue_clear() -> None:
    """No message, no notification, no event."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE alerting_message, alerting_lease, alerting_notification, vessels_event CASCADE")


@transaction.atomic
def prepared_make(number: int, *, now: datetime) -> None:
    """Messages whose words are fixed: they need no rendering, like those that the peers are given."""
    organisation, channels = recipients_make(number, now=now)
    messages = []
    for each, channel in zip(range(number), channels, strict=True):
        words = mail(each)
        message = message_new(
            organisation_id=organisation.pk, channel=channel, kind=MessageKind.TEST, due_at=now, now=now
        )
        message.subject, message.text, message.html = words.subject, words.text, words.html
        messages.append(message)
    Message.objects.bulk_create(messages, batch_size=1000)


@transaction.atomic
def notifications_make(number: int, *, now: datetime) -> None:
    """Messages as matching leaves them: each tells its user of an event, in words that are still to be rendered."""
    organisation, channels = recipients_make(number, now=now)
    subscriptions = subscriptions_make(organisation, channels, now=now)
    events = [event_new(organisation, each, now=now) for each in range(min(number, VESSELS))]
    Event.objects.bulk_create(events)
    messages = [
        message_new(organisation_id=organisation.pk, channel=one, kind=MessageKind.REALTIME, due_at=now, now=now)
        for one in channels
    ]
    Message.objects.bulk_create(messages, batch_size=1000)
    Notification.objects.bulk_create(
        (
            Notification(
                organisation=organisation,
                subscription=subscription,
                event=events[each % len(events)],
                channel=channel,
                rule_version=subscription.rule.version,
                dedupe_key=f"event:{events[each % len(events)].pk}",
                cadence=subscription.cadence,
                due_at=now,
                created_at=now,
                message=message,
            )
            for each, subscription, channel, message in zip(count(), subscriptions, channels, messages)
        ),
        batch_size=1000,
    )


def subscriptions_make(
    organisation: Organisation, channels: list[Channel], *, now: datetime, cadence: str = "realtime"
) -> list[Subscription]:
    """One for each channel's user to the one rule of the organisation; those there are count."""
    rule = AlertRule.objects.filter(organisation=organisation).first() or _rule(organisation, now=now)
    have = set(Subscription.objects.filter(rule=rule).values_list("user_id", flat=True))
    new = Subscription.objects.bulk_create(
        Subscription(
            organisation=organisation,
            user_id=channel.user_id,
            rule=rule,
            cadence=cadence,
            at=None if cadence == "realtime" else time(8, 0),
        )
        for channel in channels
        if channel.user_id not in have
    )
    of_user = {channel.user_id: channel for channel in channels}
    SubscriptionChannel.objects.bulk_create(
        SubscriptionChannel(subscription=one, channel=of_user[one.user_id]) for one in new
    )
    users = [channel.user_id for channel in channels]
    found = {one.user_id: one for one in Subscription.objects.filter(rule=rule).select_related("rule")}
    return [found[user] for user in users]


def event_new(organisation: Organisation, vessel: int, *, now: datetime, area: Area | None = None) -> Event:
    """A vessel entered the organisation's area; not stored."""
    mmsi = _MMSI + vessel % VESSELS
    return Event(
        kind="entered",
        mmsi=mmsi,
        area=area or Area.objects.get(organisation=organisation),
        area_version=1,
        feed=Feed.objects.get(name="bench"),
        occurred_at=now,
        received_at=now,
        detected_at=now,
        lon=174.5,
        lat=-36.5,
        not_before=now - timedelta(minutes=1),
        not_after=now,
        position_key=f"{now.isoformat()}/{vessel}"[:40],
        evidence={"speed": 10.0, "course": 210.0, "status": 0, "vessel_class": "A"},
    )


def _rule(organisation: Organisation, *, now: datetime) -> AlertRule:
    content = AreaContent(name="Hauraki Gulf", geometry=stored_geometry(_SQUARE))
    area = area_save(organisation=organisation, content=content, at=now)[0]
    Feed.objects.get_or_create(name="bench", source="nmea+tcp://127.0.0.1:1")
    Vessel.objects.bulk_create(
        (Vessel(mmsi=_MMSI + each, name=f"ENDEAVOUR {each}", flag="NZ", ship_type=70) for each in range(VESSELS)),
        ignore_conflicts=True,
    )
    rule = AlertRule(organisation=organisation, name="Anybody enters", kinds=["entered"])
    return rule_save(rule=rule, areas=[area], at=now)
