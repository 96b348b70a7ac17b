"""The people of a drill: an organisation, an area, and users with a channel, a rule and a subscription each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.models import Channel, ChannelKind, Organisation, User
from accounts.roles import Role
from alerting.models import AlertRule, Cadence, Subscription, SubscriptionChannel
from alerting.rules.actions import rule_save
from vessels.areas import AreaContent, area_save, stored_geometry
from vessels.models import Area, Event, EventKind, Feed, Vessel

_SQUARE = {"type": "Polygon", "coordinates": [[[174, -37], [175, -37], [175, -36], [174, -36], [174, -37]]]}
FIRST_MMSI = 512000001


@dataclass(frozen=True, slots=True)
class Reader:
    """One user, and what makes alerts come to them."""

    user: User
    channel: Channel
    rule: AlertRule
    subscription: Subscription

    @property
    def address(self) -> str:
        return self.channel.address


def organisation_make(*, slug: str, now: datetime) -> tuple[Organisation, Area]:
    """An organisation with an area of its own."""
    organisation = Organisation.objects.create(slug=slug, name=slug.title(), time_zone="UTC", created_at=now)
    content = AreaContent(name=f"Gulf of {slug.title()}", geometry=stored_geometry(_SQUARE))
    return organisation, area_save(organisation=organisation, content=content, at=now)[0]


def readers_make(*, organisation: Organisation, area: Area, names: Sequence[str], now: datetime) -> list[Reader]:
    return [_reader(organisation, area, name, now) for name in names]


def _reader(organisation: Organisation, area: Area, name: str, now: datetime) -> Reader:
    user = User(email=f"{name}@{organisation.slug}.example", name=name.title(), organisation=organisation)
    user.set_unusable_password()
    user.save()
    channel = Channel.objects.create(
        user=user, name="mail", kind=ChannelKind.EMAIL, address=user.email, verified_at=now
    )
    rule = AlertRule(organisation=organisation, name=f"Rule of {name}", kinds=[EventKind.ENTERED])
    rule_save(rule=rule, areas=[area], at=now)
    subscription = Subscription.objects.create(
        organisation=organisation, user=user, rule=rule, cadence=Cadence.REALTIME
    )
    SubscriptionChannel.objects.create(subscription=subscription, channel=channel)
    return Reader(user, channel, rule, subscription)


def operator_make(*, organisation: Organisation, email: str, password: str) -> User:
    """Somebody who may see every page while a drill runs."""
    user: User = User.objects.create_user(
        email, password, organisation=organisation, role=Role.ADMINISTRATOR, is_superuser=True
    )
    return user


def crossings_make(*, area: Area, mmsis: Sequence[int], now: datetime) -> list[Event]:
    """What the watch would write when these vessels enter the area now."""
    feed, _ = Feed.objects.get_or_create(name="game day", source="nmea+tcp://127.0.0.1:1")
    known = set(Vessel.objects.filter(mmsi__in=mmsis).values_list("mmsi", flat=True))
    Vessel.objects.bulk_create(
        Vessel(mmsi=mmsi, name=f"ENDEAVOUR {mmsi % 1000}", flag="NZ") for mmsi in mmsis if mmsi not in known
    )
    vessels = {vessel.mmsi: vessel for vessel in Vessel.objects.filter(mmsi__in=mmsis)}
    return Event.objects.bulk_create(
        Event(
            kind=EventKind.ENTERED,
            mmsi=mmsi,
            vessel=vessels[mmsi],
            area=area,
            area_version=1,
            feed=feed,
            occurred_at=now,
            received_at=now,
            detected_at=now,
            lon=174.5,
            lat=-36.5,
            not_before=now - timedelta(minutes=1),
            not_after=now,
            position_key=now.isoformat(),
            evidence={"speed": 10.0, "status": 0, "vessel_class": "A"},
        )
        for mmsi in mmsis
    )
