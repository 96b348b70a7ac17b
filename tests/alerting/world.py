"""A small world for tests: one organisation with a user, a channel, an area, and what the watch would write."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from accounts.models import Channel, Organisation, User
from alerting.models import AlertRule, Subscription, SubscriptionChannel
from alerting.rules.actions import rule_save
from vessels.areas import AreaContent, area_save, stored_geometry
from vessels.models import Area, Event, Feed, Vessel

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SQUARE = {"type": "Polygon", "coordinates": [[[174, -37], [175, -37], [175, -36], [174, -36], [174, -37]]]}


@dataclass
class World:
    """Makes rows with sensible defaults; each maker takes what a test cares about."""

    slug: str = "moana"
    organisation: Organisation = field(init=False)
    area: Area = field(init=False)
    feed: Feed = field(init=False)

    def __post_init__(self) -> None:
        self.organisation = Organisation.objects.create(slug=self.slug, name=self.slug.title(), time_zone="UTC")
        self.area = self.make_area("Gulf")
        self.feed, _ = Feed.objects.get_or_create(name="test feed", source="nmea+tcp://127.0.0.1:1")

    def make_area(self, name: str) -> Area:
        content = AreaContent(name=name, geometry=stored_geometry(SQUARE))
        return area_save(organisation=self.organisation, content=content, at=NOW)[0]

    def make_user(self, email: str = "ana@moana.example", **fields: Any) -> User:
        user: User = User.objects.create_user(email, "correct-horse", organisation=self.organisation, **fields)
        return user

    def make_channel(self, user: User, name: str = "mail", **fields: Any) -> Channel:
        return Channel.objects.create(
            **{"user": user, "name": name, "kind": "email", "address": user.email, "verified_at": NOW} | fields
        )

    def make_rule(
        self, name: str = "Anybody enters", kinds: tuple[str, ...] = ("entered",), **fields: Any
    ) -> AlertRule:
        areas = fields.pop("areas", [self.area])
        rule = AlertRule(organisation=self.organisation, name=name, kinds=list(kinds), **fields)
        return rule_save(rule=rule, areas=areas, at=NOW)

    def subscribe(
        self, user: User, rule: AlertRule, *channels: Channel, cadence: str = "realtime", **fields: Any
    ) -> Subscription:
        if cadence != "realtime":
            fields.setdefault("at", time(8, 0))
        subscription = Subscription.objects.create(
            organisation=self.organisation, user=user, rule=rule, cadence=cadence, **fields
        )
        SubscriptionChannel.objects.bulk_create(
            SubscriptionChannel(subscription=subscription, channel=channel) for channel in channels
        )
        return subscription

    def make_vessel(self, mmsi: int = 512000001, **fields: Any) -> Vessel:
        return Vessel.objects.create(**{"mmsi": mmsi, "name": "ENDEAVOUR", "flag": "NZ"} | fields)

    def make_event(self, kind: str = "entered", mmsi: int = 512000001, **fields: Any) -> Event:
        occurred_at = fields.pop("occurred_at", NOW)
        defaults: dict[str, Any] = {
            "kind": kind,
            "mmsi": mmsi,
            "area": self.area,
            "area_version": 1,
            "feed": self.feed,
            "occurred_at": occurred_at,
            "received_at": occurred_at,
            "detected_at": occurred_at,
            "lon": 174.5,
            "lat": -36.5,
            "not_before": occurred_at - timedelta(minutes=1),
            "not_after": occurred_at,
            "position_key": occurred_at.isoformat(),
            "evidence": {"speed": 10.0, "status": 0, "vessel_class": "A"},
        }
        if kind in ("missing", "resumed"):
            gap_start = fields.pop("gap_start", occurred_at - timedelta(hours=6))
            defaults |= {"gap_start": gap_start, "position_key": gap_start.isoformat(), "duration": timedelta(hours=6)}
        return Event.objects.create(**defaults | fields)
