"""Notifications: the duty to tell one subscription through one channel of one event."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Channel, Organisation
from alerting.models.message import Message, State
from alerting.models.rule import AlertRule
from alerting.models.subscription import Cadence, Subscription
from vessels.models import Event


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Filters that compose."""

    def of(self, organisation: Organisation) -> NotificationQuerySet:
        return self.filter(organisation=organisation)

    def unattached(self) -> NotificationQuerySet:
        """Waiting for their digest."""
        return self.filter(state=State.PENDING, message__isnull=True)


class Notification(models.Model):
    """It ends as sent, failed, cancelled, stale or quarantined, each with a reason; it is never deleted.

    Its state changes in the transaction that writes its message's outcome.
    """

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="notifications")
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="notifications")
    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="notifications")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="notifications")
    rule_version = models.PositiveIntegerField()
    # the event, or for missing and resumed the kind, vessel and gap
    dedupe_key = models.CharField(max_length=120)
    cadence = models.CharField(max_length=16, choices=Cadence.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    reason = models.TextField(blank=True)
    due_at = models.DateTimeField()
    message = models.ForeignKey(Message, null=True, blank=True, on_delete=models.PROTECT, related_name="notifications")
    # the summary that told its subscriber that it had gone stale
    summary = models.ForeignKey(Message, null=True, blank=True, on_delete=models.PROTECT, related_name="summarised")
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    handled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    handled_at = models.DateTimeField(null=True, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["subscription", "channel", "dedupe_key"], name="one_notification_per_duty"),
            models.CheckConstraint(
                condition=Q(state__in=State.values),
                name="notification_state_is_known",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["failed", "cancelled", "stale", "quarantined"]) | ~Q(reason=""),
                name="notification_ended_unsent_says_why",
            ),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False, message__isnull=False) | ~Q(state="sent"),
                name="sent_notification_says_when_and_how",
            ),
            models.CheckConstraint(
                condition=Q(handled_at__isnull=True, handled_by__isnull=True)
                | Q(handled_at__isnull=False, handled_by__isnull=False),
                name="handled_says_by_whom",
            ),
        ]
        indexes = [
            # digest: what waits to be attached, by when it is due
            models.Index(
                fields=["due_at"],
                condition=Q(state="pending", message__isnull=True),
                name="notification_unattached",
            ),
            # admin and history: an organisation's rows by state, newest first
            models.Index(fields=["organisation", "state", "-id"], name="notification_by_state"),
            # summary: stale ones that nobody was told of
            models.Index(
                fields=["channel"],
                condition=Q(state="stale", summary__isnull=True),
                name="notification_unsummarised",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event}, for {self.subscription}"


class MatchFailure(models.Model):
    """A rule that failed on an event in matching: tried again, and it held nothing else back."""

    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="match_failures")
    rule = models.ForeignKey(AlertRule, on_delete=models.PROTECT, related_name="match_failures")
    error = models.TextField()
    traceback = models.TextField(blank=True)
    tries = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    retry_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-first_at"]
        constraints = [models.UniqueConstraint(fields=["event", "rule"], name="one_failure_per_event_and_rule")]
        # matching: failures whose time has come
        indexes = [
            models.Index(fields=["retry_at"], condition=Q(resolved_at__isnull=True), name="match_failure_unresolved")
        ]

    def __str__(self) -> str:
        return f"{self.rule} on {self.event}"
