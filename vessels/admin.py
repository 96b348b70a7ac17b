"""Areas, vessels, watchlists, feeds and events in the admin."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.admin_scope import ReadOnlyAdmin, ReadOnlyInline, ScopedAdmin, ScopedFilter, staff_of
from vessels.areas import announce_areas, area_changed, stored_geometry
from vessels.feeds.sources import SourceError, parse_source
from vessels.geometry.areas import GeometryError
from vessels.models import (
    Area,
    AreaUse,
    AreaVersion,
    Event,
    Feed,
    FeedGap,
    FeedRejection,
    Vessel,
    VesselIdentity,
    Watchlist,
    WatchlistEntry,
)

MOST_POINTS_SHOWN = 2_000


class GeometryField(forms.JSONField):
    """JSON whose absence is an empty field, not the word null."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class AreaForm(forms.ModelForm):
    """Takes GeoJSON as people have it, and stores it as the watch needs it.

    A large geometry is not put into the page: an empty field keeps it, and the description says what it is.
    """

    geometry = GeometryField(
        widget=forms.Textarea(attrs={"rows": 12, "cols": 90, "spellcheck": "false"}),
        help_text="GeoJSON: Polygon, MultiPolygon, Feature or FeatureCollection; longitudes −180…180 or 0…360.",
    )

    class Meta:
        model = Area
        fields = ["organisation", "name", "geometry"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # without the field the page only shows the area
        if self.instance.pk and "geometry" in self.fields and points(self.instance.geometry) > MOST_POINTS_SHOWN:
            field = self.fields["geometry"]
            self.initial["geometry"] = None
            field.required = False
            field.widget.attrs["placeholder"] = "Empty: the geometry stays as it is"
            field.help_text = f"It is too large to show ({described(self.instance.geometry)}). {field.help_text}"

    def clean_geometry(self) -> dict[str, Any]:
        given = self.cleaned_data["geometry"]
        if self.instance.pk and given in (None, self.instance.geometry):
            return self.instance.geometry  # type: ignore[no-any-return]
        if not isinstance(given, dict):
            raise forms.ValidationError("This is not a GeoJSON object.")
        try:
            return stored_geometry(given)
        except GeometryError as fault:
            raise forms.ValidationError(str(fault)) from fault


class AreaVersionInline(ReadOnlyInline):
    model = AreaVersion
    fields = ["number", "created_at", "created_by", "vertices"]
    readonly_fields = ["vertices"]

    @admin.display(description="geometry")
    def vertices(self, version: AreaVersion) -> str:
        return described(version.content["geometry"])


def points(geometry: dict[str, Any]) -> int:
    return sum(len(ring) for polygon in geometry["coordinates"] for ring in polygon)


def described(geometry: dict[str, Any]) -> str:
    """Such as "20,001 points, polygons: 1, holes: 0"."""
    polygons = geometry["coordinates"]
    holes = sum(len(polygon) - 1 for polygon in polygons)
    return f"{points(geometry):,} points, polygons: {len(polygons)}, holes: {holes}"


@admin.register(Area)
class AreaAdmin(ScopedAdmin):
    form = AreaForm
    shared_too = True
    heavy = ("geometry",)
    list_display = ["name", "organisation", "version", "in_use", "archived_at"]
    list_select_related = ["organisation"]
    list_filter = [("organisation", ScopedFilter), ("archived_at", admin.EmptyFieldListFilter)]
    search_fields = ["name"]
    inlines = [AreaVersionInline]
    actions = ["archive"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            area_changed(area=obj, at=timezone.now(), by=staff_of(request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        use = AreaUse.objects.filter(area=OuterRef("pk"))
        areas: QuerySet[Any] = super().get_queryset(request).annotate(used=Exists(use))
        return areas

    @admin.display(description="in use", boolean=True)
    def in_use(self, area: Any) -> bool:
        return bool(area.used)

    @admin.action(description="Archive (rules no longer use them; events stay)", permissions=["change"])
    def archive(self, request: HttpRequest, areas: QuerySet[Area]) -> None:
        if not staff_of(request).is_superuser:
            areas = areas.filter(organisation__isnull=False)  # what is shared is the operator's
        used = [area for area in areas if area.uses.exists()]
        for area in used:
            self.message_user(request, f"{area} is used by a rule in force: change the rule first.", level="error")
        count = areas.exclude(pk__in=[area.pk for area in used]).update(archived_at=timezone.now())
        announce_areas()
        self.message_user(request, f"{count} archived.")


class WatchlistEntryInline(admin.TabularInline):
    model = WatchlistEntry
    extra = 1


@admin.register(Watchlist)
class WatchlistAdmin(ScopedAdmin):
    list_display = ["name", "organisation", "vessels"]
    search_fields = ["name"]
    inlines = [WatchlistEntryInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counted = super().get_queryset(request).select_related("organisation").annotate(number=Count("entries"))
        watchlists: QuerySet[Any] = counted
        return watchlists

    @admin.display(description="vessels")
    def vessels(self, watchlist: Any) -> int:
        return int(watchlist.number)


class VesselIdentityInline(ReadOnlyInline):
    model = VesselIdentity
    fields = ["mmsi", "name", "call_sign", "imo", "flag", "valid_from", "valid_to"]


@admin.register(Vessel)
class VesselAdmin(ScopedAdmin):
    """The watch keeps them; an operator may correct one until the vessel next speaks of itself."""

    organisation_path = None
    list_display = ["mmsi", "name", "call_sign", "imo", "flag", "ship_type", "length_m", "vessel_class", "static_at"]
    list_filter = ["vessel_class", "flag"]
    search_fields = ["mmsi", "name", "call_sign", "imo"]
    readonly_fields = ["static_at", "first_heard_at"]
    inlines = [VesselIdentityInline]


class FeedForm(forms.ModelForm):
    class Meta:
        model = Feed
        fields = ["name", "source", "active", "silent_after", "lateness"]

    def clean_source(self) -> str:
        source: str = self.cleaned_data["source"]
        try:
            parse_source(source)
        except SourceError as fault:
            raise forms.ValidationError(str(fault)) from fault
        return source


class FeedRejectionInline(ReadOnlyInline):
    model = FeedRejection
    fields = ["kind", "count", "sample", "last_at"]


class FeedGapInline(ReadOnlyInline):
    model = FeedGap
    fields = ["reason", "start", "end"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeedGap]:
        newest = FeedGap.objects.filter(feed=request.resolver_match.kwargs.get("object_id"))  # type: ignore[union-attr]
        return super().get_queryset(request).filter(pk__in=newest.order_by("-start").values("pk")[:50])


@admin.register(Feed)
class FeedAdmin(ScopedAdmin):
    organisation_path = None
    form = FeedForm
    list_display = ["name", "source", "active", "watermark", "heard_at", "messages", "positions", "repeats", "late"]
    list_filter = ["active"]
    search_fields = ["name", "source"]
    readonly_fields = ["watermark", "heard_at", "messages", "positions", "repeats", "late", "suspects"]
    inlines = [FeedRejectionInline, FeedGapInline]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    organisation_path = "area__organisation"
    shared_too = True
    heavy = ("area__geometry",)
    list_display = ["occurred_at", "kind", "mmsi", "vessel", "area", "detected_at", "matched_at"]
    list_filter = ["kind", ("area", ScopedFilter), ("matched_at", admin.EmptyFieldListFilter)]
    search_fields = ["mmsi", "vessel__name"]
    date_hierarchy = "occurred_at"
    list_select_related = ["vessel", "area"]
    exclude = ["evidence"]
    readonly_fields = ["evidence_text"]

    @admin.display(description="evidence")
    def evidence_text(self, event: Event) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(event.evidence, indent=1, ensure_ascii=False))
