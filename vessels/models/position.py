"""The position log."""

from __future__ import annotations

from django.db import models

from vessels.models.feed import Feed


class Position(models.Model):
    """One accepted AIS report. A late one is kept, but changed no event."""

    time = models.DateTimeField()
    received_at = models.DateTimeField()
    mmsi = models.BigIntegerField()
    lon = models.FloatField()
    lat = models.FloatField()
    speed = models.FloatField(null=True)
    course = models.FloatField(null=True)
    heading = models.FloatField(null=True)
    status = models.SmallIntegerField(null=True)
    message_type = models.SmallIntegerField()
    vessel_class = models.CharField(max_length=1, blank=True)
    station = models.CharField(max_length=40, blank=True)
    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    late = models.BooleanField(default=False)
    raw = models.TextField(null=True)

    class Meta:
        # a vessel's track, and its last position before a time
        indexes = [models.Index(fields=["mmsi", "time"], name="position_by_vessel_and_time")]

    def __str__(self) -> str:
        return f"{self.mmsi} at {self.time:%Y-%m-%d %H:%M:%S}Z"
