"""Events: what the watch noticed, with the evidence that proves it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from vessels.models.area import Area
from vessels.models.feed import Feed
from vessels.models.vessel import Vessel


class EventKind(models.TextChoices):
    """EVENTS: exactly what each means is in `docs/events.md`."""

    ENTERED = "entered", "entered"
    EXITED = "exited", "exited"
    APPEARED = "appeared", "appeared"
    MISSING = "missing", "stopped reporting"
    RESUMED = "resumed", "resumed reporting"


class EventQuerySet(models.QuerySet["Event"]):
    """Filters that compose."""

    def unmatched(self) -> EventQuerySet:
        return self.filter(matched_at__isnull=True)


class Event(models.Model):
    """A vessel crossed an area's boundary, appeared or fell silent in it, or was heard again."""

    kind = models.CharField(max_length=16, choices=EventKind.choices)
    mmsi = models.BigIntegerField("MMSI")
    vessel = models.ForeignKey(Vessel, null=True, blank=True, on_delete=models.SET_NULL, related_name="events")
    area = models.ForeignKey(Area, on_delete=models.PROTECT, related_name="events")
    area_version = models.PositiveIntegerField()
    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="events")
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField(help_text="When the report that shows it was received.")
    detected_at = models.DateTimeField(help_text="Our clock when the watch noticed.")
    lon = models.FloatField()
    lat = models.FloatField()
    not_before = models.DateTimeField(null=True, blank=True)
    not_after = models.DateTimeField(null=True, blank=True)
    # entered, exited, appeared: the time of the position; missing, resumed: when the vessel was last heard
    position_key = models.CharField(max_length=40)
    duration = models.DurationField(null=True, blank=True, help_text="missing: the rule's; resumed: the gap's length.")
    gap_start = models.DateTimeField(null=True, blank=True)
    # both positions, speed, status, class, distance to the boundary in nautical miles, inside or not
    evidence = models.JSONField(default=dict)
    matched_at = models.DateTimeField(null=True, blank=True)
    retracted_at = models.DateTimeField(null=True, blank=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["-occurred_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["mmsi", "area", "kind", "position_key", "duration"],
                nulls_distinct=False,
                name="an_event_is_told_once",
            ),
            models.CheckConstraint(condition=Q(kind__in=EventKind.values), name="event_kind_is_known"),
            models.CheckConstraint(
                condition=~Q(kind__in=["missing", "resumed"]) | Q(gap_start__isnull=False, duration__isnull=False),
                name="missing_and_resumed_have_a_gap",
            ),
        ]
        indexes = [
            # matching: the oldest events that no rule has looked at
            models.Index(fields=["id"], condition=Q(matched_at__isnull=True), name="event_unmatched"),
            # a page of an area's last events, and export
            models.Index(fields=["area", "-occurred_at"], name="event_by_area_and_time"),
            models.Index(fields=["occurred_at"], name="event_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.mmsi} {self.kind} {self.area} at {self.occurred_at:%Y-%m-%d %H:%M:%S}Z"
