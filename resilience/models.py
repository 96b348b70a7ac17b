"""What operations must know: incidents, folded by fingerprint, heartbeats, breakers, and the ledger of work."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from resilience.breakers.models import BreakerState, CircuitBreaker
from resilience.ledger.models import Cause, DeploymentRun, WorkerDeath, WorkInHand

__all__ = [
    "BreakerState",
    "Cause",
    "CircuitBreaker",
    "DeploymentRun",
    "Heartbeat",
    "Incident",
    "IncidentQuerySet",
    "Severity",
    "WorkInHand",
    "WorkerDeath",
]


class Severity(models.TextChoices):
    """How bad an incident is; critical ones are posted first."""

    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class IncidentQuerySet(models.QuerySet["Incident"]):
    """Filters that compose."""

    def open(self) -> IncidentQuerySet:
        return self.filter(state=Incident.State.OPEN)

    def due(self, now: datetime) -> IncidentQuerySet:
        """Has news that Slack was not told, and may be posted by now."""
        return self.filter(has_news=True, next_post_at__lte=now)


class Incident(models.Model):
    """Something operations must know. Repeats of an open incident are counted on its row."""

    class State(models.TextChoices):
        OPEN = "open"
        RESOLVED = "resolved"

    kind = models.CharField(max_length=120, help_text="What happened: the name of the log event.")
    fingerprint = models.CharField(max_length=200, help_text="Repeats with the same one are the same incident.")
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.ERROR)
    summary = models.TextField()
    sample = models.JSONField(default=dict, help_text="Details of the first occurrence.")
    traceback = models.TextField(blank=True, default="", help_text="Traceback of the first occurrence.")
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    count = models.PositiveBigIntegerField(default=1)

    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(
        max_length=254, blank=True, default="", help_text="E-mail, or the part that saw it end."
    )

    has_news = models.BooleanField(default=True, help_text="Something happened that Slack was not told yet.")
    next_post_at = models.DateTimeField(default=timezone.now, help_text="Not posted before this time.")
    posts = models.PositiveIntegerField(default=0, help_text="Messages that Slack accepted.")
    posted_count = models.PositiveBigIntegerField(default=0, help_text="The count that the last message told.")
    first_posted_at = models.DateTimeField(null=True, blank=True)
    last_posted_at = models.DateTimeField(null=True, blank=True)
    post_failures = models.PositiveIntegerField(default=0, help_text="Failed posts since the last good one.")
    last_post_error = models.TextField(blank=True, default="")
    slack_reference = models.CharField(
        max_length=120, blank=True, default="", help_text="channel:timestamp of the first message of a bot."
    )

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ("-last_at",)
        get_latest_by = "last_at"
        constraints = (
            # Also the arbiter of the recorder's INSERT … ON CONFLICT.
            models.UniqueConstraint(
                fields=("fingerprint",), condition=Q(state="open"), name="incident_open_fingerprint_unique"
            ),
            models.CheckConstraint(
                condition=Q(state="open", resolved_at__isnull=True) | Q(state="resolved", resolved_at__isnull=False),
                name="incident_resolved_has_time",
            ),
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="incident_severity_known"),
            models.CheckConstraint(
                condition=Q(count__gte=1) & Q(first_at__lte=F("last_at")), name="incident_counts_and_times"
            ),
            models.CheckConstraint(condition=~Q(kind="") & ~Q(fingerprint=""), name="incident_named"),
        )
        indexes = (
            # IncidentQuerySet.due: the poster's look, every few seconds.
            models.Index(fields=("next_post_at",), condition=Q(has_news=True), name="incident_due"),
            # The admin's list.
            models.Index(fields=("-last_at",), name="incident_last_at"),
        )

    def __str__(self) -> str:
        return f"{self.kind} ({self.count})"


class Heartbeat(models.Model):
    """The last sign of life of a long-running part, by name."""

    name = models.CharField(max_length=100, unique=True)
    at = models.DateTimeField()
    pid = models.PositiveIntegerField()
    host = models.CharField(max_length=255)
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = (models.CheckConstraint(condition=~Q(name=""), name="heartbeat_named"),)

    def __str__(self) -> str:
        return self.name
