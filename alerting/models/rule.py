"""Alert rules: when × vessels × areas (× a duration), owned by an organisation."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Organisation
from accounts.versions import Version, Versioned
from vessels.models import Area, EventKind, VesselClass, Watchlist


class Severity(models.TextChoices):
    """How much an alert matters."""

    NORMAL = "normal"
    CRITICAL = "critical"


class ShipType(models.TextChoices):
    """Groups of AIS ship types (ITU-R M.1371, table 53)."""

    WING_IN_GROUND = "wing_in_ground", "Wing in ground (20–29)"
    FISHING = "fishing", "Fishing (30)"
    TOWING = "towing", "Towing (31, 32)"
    DREDGING = "dredging", "Dredging (33)"
    DIVING = "diving", "Diving (34)"
    MILITARY = "military", "Military (35)"
    SAILING = "sailing", "Sailing (36)"
    PLEASURE = "pleasure", "Pleasure craft (37)"
    HIGH_SPEED = "high_speed", "High-speed craft (40–49)"
    PILOT = "pilot", "Pilot (50)"
    SEARCH_AND_RESCUE = "search_and_rescue", "Search and rescue (51)"
    TUG = "tug", "Tug (52)"
    LAW_ENFORCEMENT = "law_enforcement", "Law enforcement (55)"
    PASSENGER = "passenger", "Passenger (60–69)"
    CARGO = "cargo", "Cargo (70–79)"
    TANKER = "tanker", "Tanker (80–89)"
    OTHER = "other", "Other (90–99)"


class AlertRuleQuerySet(models.QuerySet["AlertRule"]):
    """Filters that compose."""

    def present(self) -> AlertRuleQuerySet:
        return self.filter(archived_at__isnull=True)

    def in_force(self) -> AlertRuleQuerySet:
        return self.present().filter(active=True)

    def of(self, organisation: Organisation) -> AlertRuleQuerySet:
        return self.filter(organisation=organisation)


class AlertRule(Versioned):
    """Which events an organisation wants to hear of.

    An empty selection field does not restrict; without any, `all_vessels` says so on purpose.
    """

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="alert_rules")
    name = models.CharField(max_length=200)
    kinds = ArrayField(models.CharField(max_length=16, choices=EventKind.choices), verbose_name="when")
    areas = models.ManyToManyField(Area, related_name="alert_rules")
    watchlist = models.ForeignKey(
        Watchlist, null=True, blank=True, on_delete=models.PROTECT, related_name="alert_rules"
    )
    flags = ArrayField(models.CharField(max_length=2), default=list, blank=True, help_text="Such as DK, SE.")
    ship_types = ArrayField(models.CharField(max_length=24, choices=ShipType.choices), default=list, blank=True)
    classes = ArrayField(models.CharField(max_length=1, choices=VesselClass.choices), default=list, blank=True)
    min_length_m = models.FloatField("least length (m)", null=True, blank=True)
    max_length_m = models.FloatField("greatest length (m)", null=True, blank=True)
    missing_for = models.DurationField(null=True, blank=True, help_text="For missing and resumed, such as 06:00:00.")
    include_stopped = models.BooleanField(default=False, help_text="Also vessels at anchor, moored or not moving.")
    accept_noise = models.BooleanField(default=False, help_text="Needed for missing of all vessels.")
    severity = models.CharField(max_length=16, choices=Severity.choices, default=Severity.NORMAL)
    active = models.BooleanField(default=True)
    template = models.TextField(blank=True, help_text="Own text of the message; empty: the built-in one.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AlertRuleQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "name"],
                condition=Q(archived_at__isnull=True),
                name="one_rule_per_organisation_and_name",
                violation_error_message="The organisation has a rule of this name already.",
            ),
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="rule_severity_is_known"),
            models.CheckConstraint(
                condition=~Q(kinds__overlap=["missing", "resumed"]) | Q(missing_for__isnull=False),
                name="rule_on_missing_has_a_duration",
                violation_error_message="A rule on missing or resumed needs a duration (missing_for).",
            ),
            models.CheckConstraint(condition=~Q(kinds=[]), name="rule_has_a_kind"),
            models.CheckConstraint(
                condition=Q(max_length_m__isnull=True)
                | Q(min_length_m__isnull=True)
                | Q(max_length_m__gte=models.F("min_length_m")),
                name="rule_lengths_are_in_order",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def all_vessels(self) -> bool:
        """Whether nothing restricts which vessels the rule takes."""
        return not (
            self.watchlist_id
            or self.flags
            or self.ship_types
            or self.classes
            or self.min_length_m is not None
            or self.max_length_m is not None
        )

    def version_content(self) -> dict[str, Any]:
        seconds = None if self.missing_for is None else self.missing_for.total_seconds()
        return {
            "name": self.name,
            "kinds": sorted(self.kinds),
            "areas": sorted(self.areas.values_list("pk", flat=True)),
            "watchlist": self.watchlist_id,
            "flags": sorted(self.flags),
            "ship_types": sorted(self.ship_types),
            "classes": sorted(self.classes),
            "length_m": [self.min_length_m, self.max_length_m],
            "missing_for_seconds": seconds,
            "include_stopped": self.include_stopped,
            "severity": self.severity,
            "active": self.active,
            "template": self.template,
        }


class AlertRuleVersion(Version):
    """What a rule was when a notification was made by it."""

    owner = models.ForeignKey(AlertRule, on_delete=models.PROTECT, related_name="versions")

    class Meta:
        ordering = ["owner", "-number"]
        constraints = [models.UniqueConstraint(fields=["owner", "number"], name="one_row_per_rule_version")]
