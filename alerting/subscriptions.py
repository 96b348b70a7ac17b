"""Saving and ending subscriptions."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, time

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.local_time import next_daily, next_weekly
from accounts.models import Channel, User
from alerting.models import AlertRule, Cadence, Subscription, SubscriptionChannel


@transaction.atomic
def subscription_save(
    *,
    user: User,
    rule: AlertRule,
    cadence: str,
    at: time | None,
    weekday: int | None,
    channels: Collection[Channel],
    active: bool,
    now: datetime,
    subscription: Subscription | None = None,
) -> Subscription:
    """Bring `subscription`, or the user's one to this rule of this cadence, to what is given; make it where missing.

    What does not belong to the cadence (a weekday of a daily one) is left out. Raises `ValidationError`, by field.
    """
    # one writer at a time for each user: two clicks at once must not both make the subscription
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    _check(user=user, rule=rule, channels=channels, active=active)
    same = Subscription.objects.present().filter(user=user, rule=rule, cadence=cadence).first()
    if subscription is None:
        subscription = same or Subscription(user=user, rule=rule, created_at=now)
    elif same is not None and same.pk != subscription.pk:
        raise ValidationError({"cadence": f"You are subscribed to this {same.get_cadence_display()} already."})
    subscription.organisation_id = rule.organisation_id
    subscription.cadence, subscription.active = cadence, active
    subscription.at = None if cadence == Cadence.REALTIME else at or Subscription.DEFAULT_AT
    subscription.weekday = (weekday or 0) if cadence == Cadence.WEEKLY else None
    subscription.full_clean(exclude=["user", "rule", "organisation"])
    subscription.save()
    _bring_channels(subscription, channels)
    return subscription


def subscription_end(*, subscription: Subscription, now: datetime) -> None:
    """End it for good. The row stays, because notifications point at it; what still waits is cancelled by the cycle."""
    if subscription.deleted_at is None:
        subscription.active, subscription.deleted_at = False, now
        subscription.save(update_fields=["active", "deleted_at"])


def next_due(*, cadence: str, at: time | None, weekday: int | None, zone_name: str, now: datetime) -> datetime | None:
    """When a digest of that cadence is next due, in UTC; None for realtime."""
    if cadence == Cadence.DAILY:
        return next_daily(now, zone_name, at or Subscription.DEFAULT_AT)
    if cadence == Cadence.WEEKLY:
        return next_weekly(now, zone_name, weekday or 0, at or Subscription.DEFAULT_AT)
    return None


def _check(*, user: User, rule: AlertRule, channels: Collection[Channel], active: bool) -> None:
    if rule.organisation_id != user.organisation_id:
        raise ValidationError("The rule belongs to another organisation.")
    if any(channel.user_id != user.pk for channel in channels):
        raise ValidationError({"channels": "Choose among your own channels."})
    if active and not channels:
        raise ValidationError({"channels": "Choose at least one channel: without one nothing can reach you."})


def _bring_channels(subscription: Subscription, channels: Collection[Channel]) -> None:
    wanted = {channel.pk for channel in channels}
    there = set(subscription.links.values_list("channel_id", flat=True))
    subscription.links.exclude(channel__in=wanted).delete()
    SubscriptionChannel.objects.bulk_create(
        SubscriptionChannel(subscription=subscription, channel_id=key) for key in wanted - there
    )
