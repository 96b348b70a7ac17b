"""What the watch must remember to go on as if it had never stopped.

All of it is written in the transaction that writes the events, and only if the scope's cursor has not moved.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from vessels.models.area import Area
from vessels.models.feed import Feed


class Scope(models.Model):
    """One evaluation with a state of its own: the live one, or one run over bounded sources.

    The scope of files has no state: what finished runs heard last, which the next one must know.
    `cursor` moves by compare-and-set; whoever finds it moved reloads the state and evaluates again.
    """

    LIVE = "live"
    FILES = "files"

    key = models.CharField(max_length=80, unique=True)  # "live", "files", or "run:" and a digest of its sources
    cursor = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.key


class VesselState(models.Model):
    """One vessel within a scope: its last accepted position, its suspect, when and by whom it was last heard."""

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE, db_index=False)
    mmsi = models.BigIntegerField()
    time = models.DateTimeField(null=True)  # of the last accepted position; null: only heard so far
    lon = models.FloatField(null=True)
    lat = models.FloatField(null=True)
    speed = models.FloatField(null=True)
    course = models.FloatField(null=True)
    heading = models.FloatField(null=True)
    status = models.SmallIntegerField(null=True)
    vessel_class = models.CharField(max_length=1, blank=True)
    received_at = models.DateTimeField(null=True)
    feed = models.ForeignKey(Feed, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    heard_at = models.DateTimeField()  # event time of the last hearing
    heard_feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="+", db_index=False)
    heard_alive = models.DurationField()  # that feed's alive time at that hearing
    suspect = models.JSONField(null=True)
    gaps = models.JSONField(default=dict)  # what was raised as missing since the last accepted position

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "mmsi"], name="one_state_per_scope_and_vessel")]

    def __str__(self) -> str:
        return f"{self.mmsi} in {self.scope}"


class Membership(models.Model):
    """A vessel is inside an area since a time."""

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE, db_index=False)
    mmsi = models.BigIntegerField()
    area = models.ForeignKey(Area, on_delete=models.PROTECT, related_name="memberships")
    area_version = models.PositiveIntegerField()
    since = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "mmsi", "area"], name="one_membership_per_scope_vessel_and_area")
        ]

    def __str__(self) -> str:
        return f"{self.mmsi} in {self.area}"


class RecentPayloads(models.Model):
    """Payload hashes that one live batch, or the end of a run, heard first, packed: their repeats are still to come."""

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE)
    latest = models.DateTimeField()
    packed = models.BinaryField()

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(packed=b""), name="recent_payloads_are_not_empty")]

    def __str__(self) -> str:
        return f"payloads to {self.latest}"
