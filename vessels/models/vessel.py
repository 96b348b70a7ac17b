"""Vessels, what they called themselves over time, and watchlists of them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Organisation


class VesselClass(models.TextChoices):
    """The AIS transponder's class."""

    A = "A", "Class A"
    B = "B", "Class B"
    UNKNOWN = "", "unknown"


class Vessel(models.Model):
    """One hull as it says of itself now. The watch makes a row for each MMSI that it hears."""

    mmsi = models.BigIntegerField("MMSI", unique=True)
    name = models.CharField(max_length=120, blank=True)
    call_sign = models.CharField(max_length=20, blank=True)
    imo = models.BigIntegerField("IMO", null=True, blank=True)
    flag = models.CharField(max_length=2, blank=True, help_text="ISO 3166 country code, from the MMSI.")
    ship_type = models.PositiveSmallIntegerField(null=True, blank=True, help_text="AIS type of ship, 0 to 99.")
    length_m = models.FloatField("length (m)", null=True, blank=True)
    beam_m = models.FloatField("beam (m)", null=True, blank=True)
    vessel_class = models.CharField(max_length=1, choices=VesselClass.choices, blank=True)
    static_at = models.DateTimeField(null=True, blank=True, help_text="Time of the newest static report.")
    first_heard_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["mmsi"]
        # for the admin's and the pages' search by name
        indexes = [models.Index(fields=["name"], name="vessel_by_name")]

    def __str__(self) -> str:
        return self.name or f"MMSI {self.mmsi:09d}"


class VesselIdentity(models.Model):
    """What a vessel called itself from one time to another; the open one is in force."""

    vessel = models.ForeignKey(Vessel, on_delete=models.CASCADE, related_name="identities")
    mmsi = models.BigIntegerField("MMSI")
    imo = models.BigIntegerField("IMO", null=True, blank=True)
    name = models.CharField(max_length=120, blank=True)
    call_sign = models.CharField(max_length=20, blank=True)
    flag = models.CharField(max_length=2, blank=True)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["vessel", "-valid_from"]
        verbose_name_plural = "vessel identities"
        constraints = [
            models.UniqueConstraint(
                fields=["vessel"], condition=Q(valid_to__isnull=True), name="one_identity_in_force_per_vessel"
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gte=models.F("valid_from")),
                name="identity_ends_after_it_begins",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.mmsi} from {self.valid_from:%Y-%m-%d}"


class Watchlist(models.Model):
    """Vessels that an organisation keeps an eye on."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="watchlists")
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "name"], name="one_watchlist_per_organisation_and_name")
        ]

    def __str__(self) -> str:
        return self.name


class WatchlistEntry(models.Model):
    """One MMSI on a watchlist. Name and IMO are the list's own note, not the vessel's."""

    watchlist = models.ForeignKey(Watchlist, on_delete=models.CASCADE, related_name="entries")
    mmsi = models.BigIntegerField("MMSI")
    name = models.CharField(max_length=120, blank=True)
    imo = models.BigIntegerField("IMO", null=True, blank=True)

    class Meta:
        ordering = ["mmsi"]
        verbose_name_plural = "watchlist entries"
        constraints = [models.UniqueConstraint(fields=["watchlist", "mmsi"], name="one_entry_per_watchlist_and_mmsi")]

    def __str__(self) -> str:
        return self.name or f"MMSI {self.mmsi:09d}"
