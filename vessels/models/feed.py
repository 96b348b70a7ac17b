"""Feeds: where AIS comes from, how far each was read, and what was wrong with it."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q


class Feed(models.Model):
    """One source of AIS. Sources given on the command line get a feed of their own."""

    name = models.CharField(max_length=300, unique=True)
    source = models.CharField(max_length=2000, help_text="Such as nmea+tcp://192.0.2.1:10110")
    active = models.BooleanField(default=True, help_text="Whether `watch` without sources listens to it.")
    silent_after = models.DurationField(
        default=timedelta(minutes=10),
        help_text="A longer silence of the whole feed does not count as a vessel's.",
    )
    lateness = models.DurationField(default=timedelta(minutes=10))
    # The watch's own notes, written with the positions that moved them.
    watermark = models.DateTimeField(null=True, blank=True, editable=False, help_text="Latest time it heard a vessel.")
    alive = models.DurationField(default=timedelta(0), editable=False, help_text="Alive time up to the watermark.")
    heard_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Our clock at the last message.")
    messages = models.BigIntegerField(default=0, editable=False)
    positions = models.BigIntegerField(default=0, editable=False)
    repeats = models.BigIntegerField(default=0, editable=False)
    late = models.BigIntegerField(default=0, editable=False)
    suspects = models.BigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(silent_after__gt=timedelta(0)), name="feed_silent_after_is_positive")
        ]

    def __str__(self) -> str:
        return self.name


class BoundedSource(models.Model):
    """A file, known by its content: how far it was evaluated, and when it was finished."""

    sha256 = models.CharField(max_length=64, unique=True)
    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="bounded_sources")
    ordinal = models.BigIntegerField(default=0, help_text="Reports evaluated, in the order of time.")
    total = models.BigIntegerField(null=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(total__isnull=True) | Q(ordinal__lte=F("total")),
                name="bounded_source_ordinal_within_total",
            )
        ]

    def __str__(self) -> str:
        return f"{self.feed} ({self.sha256[:12]})"


class FeedGap(models.Model):
    """A stretch that does not count as alive time: the feed was silent, or we were down."""

    class Reason(models.TextChoices):
        SILENT = "silent", "the feed was silent"
        DOWNTIME = "downtime", "the watch was down"

    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, related_name="gaps")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    start = models.DateTimeField()
    end = models.DateTimeField()

    class Meta:
        ordering = ["feed", "-start"]
        constraints = [
            models.UniqueConstraint(fields=["feed", "start"], name="one_gap_per_feed_and_start"),
            models.CheckConstraint(condition=Q(end__gte=F("start")), name="gap_ends_after_it_begins"),
        ]

    def __str__(self) -> str:
        return f"{self.feed}: {self.get_reason_display()} from {self.start:%Y-%m-%d %H:%M}Z"


class FeedRejection(models.Model):
    """How much of a feed was refused, by kind, with a sample that shows what it looked like."""

    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, related_name="rejections")
    kind = models.CharField(max_length=64)
    count = models.BigIntegerField(default=0)
    sample = models.TextField(blank=True)
    last_at = models.DateTimeField()

    class Meta:
        ordering = ["feed", "-count"]
        constraints = [models.UniqueConstraint(fields=["feed", "kind"], name="one_row_per_feed_and_rejection_kind")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.count}"
