"""Rules, subscriptions and feeds of a setup file."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

from accounts.models import Channel, Organisation, User
from alerting.models import AlertRule, Cadence, Subscription, SubscriptionChannel
from alerting.rules.actions import rule_save
from alerting.setup.changes import Applying
from alerting.setup.people import organisation_named
from alerting.setup.schema import RulePart, SubscriptionPart, VesselsPart
from vessels.feeds.sources import SourceError, parse_source
from vessels.models import Area, Feed, Watchlist


def apply_rules(run: Applying) -> None:
    for number, part in enumerate(run.document.setup.rules):
        organisation = organisation_named(run, part.organisation, "rules", number)
        areas = _areas(run, part, organisation, number)
        wanted = _rule_fields(run, part, organisation, number)
        rule = AlertRule.objects.present().filter(organisation=organisation, name=part.name).first()
        if rule is None:
            rule = AlertRule(organisation=organisation, name=part.name, created_at=run.now, **wanted)
            _save_rule(run, rule, areas, number)
            run.made(f"rule {part.name}")
            continue
        different = [name for name, value in wanted.items() if getattr(rule, name) != value]
        if set(rule.areas.all()) != set(areas):
            different.append("areas")
        if different:
            for name in wanted:
                setattr(rule, name, wanted[name])
            _save_rule(run, rule, areas, number)
            run.changed(f"rule {part.name}", *different)


def _save_rule(run: Applying, rule: AlertRule, areas: list[Area], number: int) -> None:
    try:
        rule_save(rule=rule, areas=areas, at=run.now)
    except ValidationError as fault:
        for field, messages in fault.message_dict.items():
            place = ("rules", number) if field == "__all__" else ("rules", number, field)
            raise run.fault(place, " ".join(messages)) from fault


def _areas(run: Applying, part: RulePart, organisation: Organisation, number: int) -> list[Area]:
    found = []
    for position, name in enumerate(part.areas):
        candidates = Area.objects.present().seen_by(organisation).filter(name=name)
        # the organisation's own area comes before a shared one of the same name
        area = candidates.filter(organisation=organisation).first() or candidates.first()
        if area is None:
            raise run.fault(("rules", number, "areas", position), f"there is no area {name!r}")
        found.append(area)
    return found


def _rule_fields(run: Applying, part: RulePart, organisation: Organisation, number: int) -> dict[str, Any]:
    vessels = part.vessels or VesselsPart.model_construct()
    watchlist = None
    if vessels.watchlist is not None:
        watchlist = Watchlist.objects.filter(organisation=organisation, name=vessels.watchlist).first()
        if watchlist is None:
            what = f"there is no watchlist {vessels.watchlist!r}"
            raise run.fault(("rules", number, "vessels", "watchlist"), what)
    return {
        "kinds": [kind.value for kind in part.when],
        "watchlist": watchlist,
        "flags": vessels.flags,
        "ship_types": [kind.value for kind in vessels.ship_types],
        "classes": list(vessels.classes),
        "min_length_m": vessels.min_length_m,
        "max_length_m": vessels.max_length_m,
        "missing_for": part.missing_for,
        "include_stopped": part.include_stopped,
        "accept_noise": part.accept_noise,
        "severity": part.severity.value,
        "active": part.active,
        "template": part.template,
    }


def apply_subscriptions(run: Applying) -> None:
    for number, part in enumerate(run.document.setup.subscriptions):
        user = User.objects.present().filter(email=part.user.lower(), organisation__isnull=False).first()
        if user is None:
            raise run.fault(("subscriptions", number, "user"), f"there is no user {part.user!r} in an organisation")
        rule = AlertRule.objects.present().filter(organisation=user.organisation, name=part.rule).first()
        if rule is None:
            raise run.fault(("subscriptions", number, "rule"), f"the user's organisation has no rule {part.rule!r}")
        _apply_subscription(run, part, user, rule, _channels(run, part, user, number))


def _channels(run: Applying, part: SubscriptionPart, user: User, number: int) -> list[Channel]:
    found = []
    for position, name in enumerate(part.channels):
        channel = Channel.objects.filter(user=user, name=name).first()
        if channel is None:
            raise run.fault(("subscriptions", number, "channels", position), f"{user.email} has no channel {name!r}")
        found.append(channel)
    return found


def _apply_subscription(
    run: Applying, part: SubscriptionPart, user: User, rule: AlertRule, channels: list[Channel]
) -> None:
    what = f"subscription of {user.email} to {rule.name} ({part.cadence.value})"
    at = None if part.cadence == Cadence.REALTIME else (part.at or Subscription.DEFAULT_AT)
    wanted = {"at": at, "weekday": part.weekday_number, "active": part.active}
    subscription = Subscription.objects.present().filter(user=user, rule=rule, cadence=part.cadence.value).first()
    if subscription is None:
        subscription = Subscription.objects.create(
            organisation_id=rule.organisation_id,
            user=user,
            rule=rule,
            cadence=part.cadence.value,
            created_at=run.now,
            **wanted,
        )
        run.made(what)
    else:
        run.bring(subscription, what, wanted)
    present = {link.channel_id: link for link in subscription.links.all()}
    keys = {channel.pk for channel in channels}
    if present.keys() != keys:
        subscription.links.exclude(channel__in=keys).delete()
        SubscriptionChannel.objects.bulk_create(
            SubscriptionChannel(subscription=subscription, channel=channel)
            for channel in channels
            if channel.pk not in present
        )
        if present:
            run.changed(what, "channels")


def apply_feeds(run: Applying) -> None:
    for number, part in enumerate(run.document.setup.feeds):
        try:
            parse_source(part.source)
        except SourceError as fault:
            raise run.fault(("feeds", number, "source"), str(fault)) from fault
        wanted = {
            "source": part.source,
            "silent_after": part.silent_after,
            "lateness": part.lateness,
            "active": part.active,
        }
        feed = Feed.objects.filter(name=part.name).first()
        if feed is None:
            Feed.objects.create(name=part.name, **wanted)
            run.made(f"feed {part.name}")
        else:
            run.bring(feed, f"feed {part.name}", wanted)
