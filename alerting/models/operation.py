"""What the cycles did, what is paused, and what operators did by hand."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from alerting.models.message import Message
from alerting.models.notification import Notification


class SendCycleRun(models.Model):
    """One guarded pass of a sender, with what came of it."""

    cadence = models.CharField(max_length=16)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200)
    claimed = models.PositiveIntegerField(default=0)
    sent = models.PositiveIntegerField(default=0)
    retried = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    stale = models.PositiveIntegerField(default=0)
    released = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["cadence", "-started_at"], name="cycle_by_cadence_and_start")]

    def __str__(self) -> str:
        return f"{self.cadence} at {self.started_at:%Y-%m-%d %H:%M:%S}Z"


class OperatorAction(models.Model):
    """Who did what to a notification or message by hand, when, and from which state."""

    class Action(models.TextChoices):
        RETRY = "retry"
        CANCEL = "cancel"
        MARK_HANDLED = "mark_handled", "mark handled"

    action = models.CharField(max_length=16, choices=Action.choices)
    notification = models.ForeignKey(
        Notification, null=True, blank=True, on_delete=models.PROTECT, related_name="operator_actions"
    )
    message = models.ForeignKey(
        Message, null=True, blank=True, on_delete=models.PROTECT, related_name="operator_actions"
    )
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16)

    class Meta:
        ordering = ["-at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(notification__isnull=False) | Q(message__isnull=False),
                name="operator_action_has_an_object",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} by {self.by} at {self.at:%Y-%m-%d %H:%M}Z"
