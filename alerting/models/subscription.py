"""Subscriptions: a user × a rule × a cadence × channels."""

from __future__ import annotations

from datetime import time

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Channel, Organisation, User
from alerting.models.rule import AlertRule


class Cadence(models.TextChoices):
    """How soon a subscriber hears of an event."""

    REALTIME = "realtime", "at once"
    DAILY = "daily", "once a day"
    WEEKLY = "weekly", "once a week"


class Weekday(models.IntegerChoices):
    """Days as Python counts them."""

    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    """Filters that compose."""

    def present(self) -> SubscriptionQuerySet:
        return self.filter(deleted_at__isnull=True)

    def in_force(self) -> SubscriptionQuerySet:
        return self.present().filter(active=True)


class Subscription(models.Model):
    """A user's wish to hear of a rule's events."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="subscriptions")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="subscriptions")
    rule = models.ForeignKey(AlertRule, on_delete=models.PROTECT, related_name="subscriptions")
    cadence = models.CharField(max_length=16, choices=Cadence.choices, default=Cadence.REALTIME)
    at = models.TimeField(null=True, blank=True, help_text="Time of day in the user's zone, for a digest.")
    weekday = models.PositiveSmallIntegerField(choices=Weekday.choices, null=True, blank=True)
    channels: models.ManyToManyField[Channel, SubscriptionChannel] = models.ManyToManyField(
        Channel, through="SubscriptionChannel", related_name="subscriptions"
    )
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    DEFAULT_AT = time(8, 0)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        ordering = ["user", "rule"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "rule", "cadence"],
                condition=Q(deleted_at__isnull=True),
                name="one_subscription_per_user_rule_and_cadence",
                violation_error_message="The user has this subscription already.",
            ),
            models.CheckConstraint(condition=Q(cadence__in=Cadence.values), name="subscription_cadence_is_known"),
            models.CheckConstraint(
                condition=Q(cadence="realtime", at__isnull=True, weekday__isnull=True)
                | Q(cadence="daily", at__isnull=False, weekday__isnull=True)
                | Q(cadence="weekly", at__isnull=False, weekday__range=(0, 6)),
                name="subscription_time_fits_its_cadence",
                violation_error_message="Daily needs a time of day; weekly also a weekday; at once has neither.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.rule}, {self.get_cadence_display()}"


class SubscriptionChannel(models.Model):
    """One channel of a subscription."""

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="links")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="links")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subscription", "channel"], name="one_link_per_subscription_and_channel")
        ]

    def __str__(self) -> str:
        return str(self.channel)
