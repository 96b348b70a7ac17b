"""The row of one breaker."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q


class BreakerState(models.TextChoices):
    """Closed: calls go. Open: none goes until the probe is due. Half-open: one process tries."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open", "half-open"


class CircuitBreakerQuerySet(models.QuerySet["CircuitBreaker"]):
    """Filters that compose."""

    def shut(self) -> CircuitBreakerQuerySet:
        """Open or half-open: nothing but the one probe goes."""
        return self.exclude(state=BreakerState.CLOSED)

    def time_passes(self, length: timedelta) -> None:
        """For who simulates time: what runs by the database's clock is so much nearer to its end."""
        self.update(**{name: F(name) - length for name in ("probe_at", "lease_until", "last_failure_at")})


class CircuitBreaker(models.Model):
    """A breaker as all processes see it. No row: closed, and never tripped."""

    name = models.CharField(max_length=100, unique=True)
    state = models.CharField(max_length=10, choices=BreakerState.choices, default=BreakerState.CLOSED)
    reason = models.TextField(blank=True, default="", help_text="Why it was opened the last time.")
    failures = models.PositiveIntegerField(default=0, help_text="In a row, while it is closed.")
    last_failure_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    probe_at = models.DateTimeField(null=True, blank=True, help_text="While open: from when one process may try.")
    lease_until = models.DateTimeField(null=True, blank=True, help_text="While half-open: until when it may take.")
    lease_token = models.UUIDField(null=True, blank=True)
    changed_at = models.DateTimeField()

    objects = CircuitBreakerQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=~Q(name=""), name="circuit_breaker_named"),
            models.CheckConstraint(
                condition=Q(state="closed", probe_at__isnull=True, lease_until__isnull=True, lease_token__isnull=True)
                | Q(state="open", probe_at__isnull=False, lease_until__isnull=True, lease_token__isnull=True)
                | Q(state="half_open", probe_at__isnull=True, lease_until__isnull=False, lease_token__isnull=False),
                name="circuit_breaker_state_has_its_times",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.get_state_display()}"
