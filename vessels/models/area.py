"""Areas and their versions, and what alerting asks the watch to look for in them."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Organisation
from accounts.versions import Version, Versioned


class AreaQuerySet(models.QuerySet["Area"]):
    """Filters that compose."""

    def present(self) -> AreaQuerySet:
        return self.filter(archived_at__isnull=True)

    def seen_by(self, organisation: Organisation) -> AreaQuerySet:
        """The organisation's own areas and those shared on purpose."""
        return self.filter(Q(organisation=organisation) | Q(organisation__isnull=True))


class Area(Versioned):
    """A polygon with holes, or several. Without an organisation it is shared with all."""

    organisation = models.ForeignKey(
        Organisation, null=True, blank=True, on_delete=models.PROTECT, related_name="areas"
    )
    name = models.CharField(max_length=200)
    # GeoJSON MultiPolygon, WGS84, longitudes −180…180, split at the antimeridian: `vessels.geometry` makes it.
    geometry = models.JSONField()
    hysteresis_metres = models.FloatField(default=0)
    hysteresis_seconds = models.FloatField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AreaQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "name"],
                condition=Q(archived_at__isnull=True),
                nulls_distinct=False,
                name="one_area_per_organisation_and_name",
                violation_error_message="The organisation has an area of this name already.",
            ),
            models.CheckConstraint(
                condition=Q(hysteresis_metres__gte=0, hysteresis_seconds__gte=0),
                name="area_hysteresis_is_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def version_content(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "geometry": self.geometry,
            "hysteresis": {"metres": self.hysteresis_metres, "seconds": self.hysteresis_seconds},
        }


class AreaVersion(Version):
    """What an area was when an event named it."""

    owner = models.ForeignKey(Area, on_delete=models.PROTECT, related_name="versions")

    class Meta:
        ordering = ["owner", "-number"]
        constraints = [models.UniqueConstraint(fields=["owner", "number"], name="one_row_per_area_version")]


class AreaUse(models.Model):
    """One thing that the watch looks for in an area, written by alerting whenever its rules change.

    Without a duration: crossings. With one: vessels missing for so long. `since` is when the first rule asked.
    """

    area = models.ForeignKey(Area, on_delete=models.CASCADE, related_name="uses")
    duration = models.DurationField(null=True, blank=True)
    since = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["area", "duration"], nulls_distinct=False, name="one_use_per_area_and_duration"
            )
        ]

    def __str__(self) -> str:
        return f"{self.area}: {'crossings' if self.duration is None else f'missing for {self.duration}'}"
