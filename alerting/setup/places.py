"""Areas and watchlists of a setup file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accounts.models import Organisation
from alerting.setup.changes import Applying
from alerting.setup.people import organisation_named
from alerting.setup.schema import AreaPart, WatchlistPart
from vessels.areas import AreaContent, area_save, stored_geometry
from vessels.geometry.areas import GeometryError
from vessels.models import Watchlist, WatchlistEntry

Feature = dict[str, Any]


def apply_areas(run: Applying) -> None:
    seen: set[tuple[int, str]] = set()
    for number, part in enumerate(run.document.setup.areas):
        organisation = organisation_named(run, part.organisation, "areas", number)
        for name, documents in _areas_of(run, part, number):
            if (organisation.pk, name) in seen:
                raise run.fault(("areas", number), f"the area {name!r} is given twice")
            seen.add((organisation.pk, name))
            _apply_area(run, part, organisation, name, documents, number)


def _apply_area(
    run: Applying, part: AreaPart, organisation: Organisation, name: str, documents: list[Feature], number: int
) -> None:
    place = ("areas", number, "file" if part.file else "geometry")
    try:
        geometry = stored_geometry(documents)
    except GeometryError as fault:
        raise run.fault(place, f"{name}: {fault}") from fault
    content = AreaContent(
        name=name,
        geometry=geometry,
        hysteresis_metres=part.hysteresis.metres,
        hysteresis_seconds=part.hysteresis.seconds,
    )
    _, changed = area_save(organisation=organisation, content=content, at=run.now)
    if changed == ["new"]:
        run.made(f"area {name}")
    elif changed:
        run.changed(f"area {name}", *changed)


def _areas_of(run: Applying, part: AreaPart, number: int) -> Iterator[tuple[str, list[Feature]]]:
    """The names that an entry gives, each with the GeoJSON objects that make it up."""
    if part.geometry is not None:
        yield part.name or "", [part.geometry]
        return
    features = [feature for feature in _features(run, part, number) if _has(feature, part.where)]
    if not features:
        raise run.fault(("areas", number, "where" if part.where else "file"), "no feature of the file fits")
    if part.name is not None:
        yield part.name, features
        return
    by_name: dict[str, list[Feature]] = {}
    for position, feature in enumerate(features, start=1):
        value = (feature.get("properties") or {}).get(part.name_property)
        if value in (None, ""):
            what = f"feature {position} has no property {part.name_property!r}"
            raise run.fault(("areas", number, "name_property"), what)
        by_name.setdefault(f"{part.name_prefix}{value}", []).append(feature)
    yield from by_name.items()


def _has(feature: Feature, where: dict[str, Any]) -> bool:
    properties = feature.get("properties") or {}
    return all(properties.get(key) == value for key, value in where.items())


def _features(run: Applying, part: AreaPart, number: int) -> list[Feature]:
    path = run.document.path.parent / Path(part.file or "")
    place = ("areas", number, "file")
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise run.fault(place, f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise run.fault(place, f"{path}: not JSON: {error}") from error
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        return [feature for feature in document["features"] if isinstance(feature, dict)]
    if kind == "Feature":
        return [document]
    if kind in ("Polygon", "MultiPolygon"):
        return [{"type": "Feature", "properties": {}, "geometry": document}]
    raise run.fault(place, f"{path}: not GeoJSON; expected a FeatureCollection, Feature, Polygon or MultiPolygon")


def apply_watchlists(run: Applying) -> None:
    for number, part in enumerate(run.document.setup.watchlists):
        organisation = organisation_named(run, part.organisation, "watchlists", number)
        what = f"watchlist {part.name}"
        watchlist, created = Watchlist.objects.get_or_create(organisation=organisation, name=part.name)
        if created:
            run.made(what)
        if _bring_entries(run, watchlist, part, number) and not created:
            run.changed(what, "vessels")


def _bring_entries(run: Applying, watchlist: Watchlist, part: WatchlistPart, number: int) -> bool:
    """Make the entries equal the file's; whether any differed."""
    wanted = {vessel.mmsi: (vessel.name, vessel.imo) for vessel in part.vessels}
    if len(wanted) != len(part.vessels):
        raise run.fault(("watchlists", number, "vessels"), "an MMSI stands in it twice")
    present = {entry.mmsi: entry for entry in watchlist.entries.all()}
    gone = [entry.pk for mmsi, entry in present.items() if mmsi not in wanted]
    different = {
        mmsi: note
        for mmsi, note in wanted.items()
        if mmsi not in present or (present[mmsi].name, present[mmsi].imo) != note
    }
    watchlist.entries.filter(pk__in=gone).delete()
    for mmsi, (name, imo) in different.items():
        WatchlistEntry.objects.update_or_create(watchlist=watchlist, mmsi=mmsi, defaults={"name": name, "imo": imo})
    return bool(gone or different)
