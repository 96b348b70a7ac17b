"""A small world for the tests of pages: two organisations that must never meet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Channel, Organisation, User
from alerting.messages import message_new
from alerting.models import AlertRule, Message, MessageKind, Notification, State, Subscription
from alerting.rules.actions import rule_save
from vessels.areas import AreaContent, area_save, stored_geometry
from vessels.models import Area, Event, Feed, Membership, Scope, Vessel, VesselState

PASSWORD = "correct-horse-battery"
THEN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ACROSS_180 = {"type": "Polygon", "coordinates": [[[170, -40], [190, -40], [190, -30], [170, -30], [170, -40]]]}


@dataclass(frozen=True, slots=True)
class World:
    """One organisation with a manager, an area, a rule and a channel."""

    organisation: Organisation
    user: User
    channel: Channel
    area: Area
    rule: AlertRule


def world_new(slug: str, *, role: str = "manager", geometry: dict[str, Any] = ACROSS_180) -> World:
    organisation = Organisation.objects.create(slug=slug, name=slug.title())
    user = user_new(organisation, f"ana@{slug}.example", role=role)
    channel = Channel.objects.create(user=user, name="mail", address=user.email, verified_at=THEN)
    content = AreaContent(f"{slug} box", stored_geometry(geometry))
    area, _ = area_save(organisation=organisation, content=content, at=THEN)
    rule = rule_save(
        rule=AlertRule(organisation=organisation, name=f"{slug} rule", kinds=["entered"]), areas=[area], at=THEN
    )
    return World(organisation, user, channel, area, rule)


def user_new(organisation: Organisation, email: str, *, role: str) -> User:
    user: User = User.objects.create_user(
        email, PASSWORD, organisation=organisation, name="Ana", role=role, time_zone="Pacific/Auckland"
    )
    return user


def vessel_inside(world: World, *, mmsi: int = 512000001, name: str = "ENDEAVOUR") -> Vessel:
    scope, _ = Scope.objects.get_or_create(key=Scope.LIVE)
    feed, _ = Feed.objects.get_or_create(name="demo", defaults={"source": "nmea+tcp://127.0.0.1:1"})
    vessel, _ = Vessel.objects.get_or_create(mmsi=mmsi, defaults={"name": name})
    VesselState.objects.get_or_create(
        scope=scope,
        mmsi=mmsi,
        defaults={
            "time": THEN,
            "lon": -179.0,
            "lat": -35.0,
            "course": 90.0,
            "feed": feed,
            "heard_at": THEN,
            "heard_feed": feed,
            "heard_alive": timedelta(0),
        },
    )
    Membership.objects.create(scope=scope, mmsi=mmsi, area=world.area, area_version=1, since=THEN)
    return vessel


def event_new(world: World, *, mmsi: int = 512000001, minute: int = 0) -> Event:
    feed, _ = Feed.objects.get_or_create(name="demo", defaults={"source": "nmea+tcp://127.0.0.1:1"})
    at = THEN + timedelta(minutes=minute)
    before = {"lon": -178.0, "lat": -35.0, "speed": 9.0, "course": 270.0, "status": 0}
    return Event.objects.create(
        kind="entered",
        mmsi=mmsi,
        vessel=Vessel.objects.filter(mmsi=mmsi).first(),
        area=world.area,
        area_version=1,
        feed=feed,
        occurred_at=at,
        received_at=at,
        detected_at=at,
        lon=-179.0,
        lat=-35.0,
        not_before=at - timedelta(minutes=5),
        not_after=at,
        position_key=f"{at.timestamp()}",
        evidence={"before": before, "after": before | {"lon": -179.0}},
    )


def notification_new(
    world: World, *, event: Event, state: State = State.SENT, reason: str = "", user: User | None = None
) -> Notification:
    owner = user or world.user
    channel = owner.channels.first() or Channel.objects.create(user=owner, name="mail", address=owner.email)
    subscription, _ = Subscription.objects.get_or_create(
        organisation=world.organisation, user=owner, rule=world.rule, cadence="realtime"
    )
    message = _message(world, channel, state, reason)
    return Notification.objects.create(
        organisation=world.organisation,
        subscription=subscription,
        event=event,
        channel=channel,
        rule_version=1,
        dedupe_key=str(event.pk),
        cadence="realtime",
        state=state,
        reason=reason,
        due_at=timezone.now(),
        message=message,
        created_at=THEN,
        sent_at=message.sent_at,
    )


def _message(world: World, channel: Channel, state: State, reason: str) -> Message:
    message = message_new(
        organisation_id=world.organisation.pk, channel=channel, kind=MessageKind.REALTIME, due_at=THEN, now=THEN
    )
    message.state, message.reason = state, reason
    message.sent_at = THEN if state == State.SENT else None
    message.subject, message.text = "A subject", "The text as sent"
    message.html = "<html><head></head><body><p>The page as sent</p></body></html>"
    message.save()
    return message
