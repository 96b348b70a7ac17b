"""Saving areas: the geometry checked and stored, and its version kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from accounts.models import Organisation, User
from accounts.versions import version_record
from vessels.geometry.areas import read_area, to_geojson
from vessels.models import Area

# The watch listens here and re-reads the areas in use; the payload says nothing.
AREAS_CHANGED = "watchkeeper_areas"


@dataclass(frozen=True, slots=True)
class AreaContent:
    """What is said of an area. `geometry` is in its stored form: `stored_geometry` makes it."""

    name: str
    geometry: dict[str, Any]
    hysteresis_metres: float = 0
    hysteresis_seconds: float = 0


def stored_geometry(documents: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The stored form of the area that these GeoJSON objects make together.

    Raises `vessels.geometry.areas.GeometryError` that says what is wrong, and where.
    """
    return to_geojson(read_area(documents))


@transaction.atomic
def area_save(
    *, organisation: Organisation | None, content: AreaContent, at: datetime, by: User | None = None
) -> tuple[Area, list[str]]:
    """Create the organisation's area of this name or bring it to `content`; also which fields changed.

    A new area says `["new"]`; one that was so already says `[]`, and makes no version.
    """
    area = Area.objects.present().filter(organisation=organisation, name=content.name).select_for_update().first()
    wanted = {
        "geometry": content.geometry,
        "hysteresis_metres": content.hysteresis_metres,
        "hysteresis_seconds": content.hysteresis_seconds,
    }
    if area is None:
        area = Area.objects.create(organisation=organisation, name=content.name, created_at=at, **wanted)
        changed = ["new"]
    else:
        changed = [field for field, value in wanted.items() if getattr(area, field) != value]
        for field in changed:
            setattr(area, field, wanted[field])
        if changed:
            area.save(update_fields=changed)
    area_changed(area=area, at=at, by=by)
    return area, changed


def area_changed(*, area: Area, at: datetime, by: User | None = None) -> None:
    """Keep the version of an area just saved, and tell the watch. Call it in the transaction that saved it."""
    version_record(area, at=at, by=by)
    announce_areas()


def announce_areas() -> None:
    """Tell the watch, when this transaction commits, that areas or their uses changed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [AREAS_CHANGED])
