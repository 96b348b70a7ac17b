"""What home shows of an organisation: its vessels on the map, who is inside now, the last events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from accounts.models import Organisation, User
from alerting.pages.telling import event_told
from alerting.rendering.plain import vessel_name
from vessels.models import Area, Event, EventKind, Membership, Scope, Vessel, VesselState

Box = tuple[float, float, float, float]  # west, south, east, north; west > east crosses ±180

MOST_VESSELS = 3000  # on one map
MOST_INSIDE = 25  # named of one area
LAST_EVENTS = 15
SHOWN_FOR = timedelta(hours=24)  # behind the newest hearing
SILENCES_SHOWN_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Inside:
    """One vessel inside an area."""

    mmsi: int
    name: str
    since: datetime


@dataclass(slots=True)
class AreaNow:
    """One area and who is inside; `more` are not named."""

    area: Area
    inside: list[Inside] = field(default_factory=list)
    count: int = 0

    @property
    def more(self) -> int:
        return self.count - len(self.inside)


@dataclass(frozen=True, slots=True)
class EventLine:
    """One of the last events."""

    event: Event
    told: str


def areas_of(organisation: Organisation) -> list[Area]:
    """The areas that the organisation sees, without their geometry."""
    return list(Area.objects.present().seen_by(organisation).defer("geometry").order_by("name"))


def inside_now(areas: Sequence[Area]) -> list[AreaNow]:
    """The areas with the vessels inside, busiest first; those without any come last, by name."""
    found = {area.pk: AreaNow(area) for area in areas}
    rows = _live_memberships(found).order_by("-since", "mmsi")
    members: dict[int, list[tuple[int, datetime]]] = defaultdict(list)
    for area, mmsi, since in rows.values_list("area_id", "mmsi", "since"):
        members[area].append((mmsi, since))
    names = _names({mmsi for there in members.values() for mmsi, _ in there[:MOST_INSIDE]})
    for area, there in members.items():
        found[area].count = len(there)
        found[area].inside = [Inside(mmsi, names.get(mmsi, ""), since) for mmsi, since in there[:MOST_INSIDE]]
    return sorted(found.values(), key=lambda now: (-now.count, now.area.name))


def last_events(areas: Sequence[Area], user: User) -> list[EventLine]:
    """The newest events of these areas, by when they were noticed."""
    rows = (
        Event.objects.filter(area__in=[area.pk for area in areas], retracted_at__isnull=True)
        .select_related("area", "vessel", "feed")
        .defer("area__geometry")
        .order_by("-occurred_at", "-pk")[:LAST_EVENTS]
    )
    return [EventLine(event, event_told(event, user)) for event in rows]


def vessels_on_map(areas: Sequence[Area], box: Box | None) -> dict[str, Any]:
    """Vessels in the box with a place, and all that are inside an area; `cut` says that there were more."""
    inside: dict[int, list[int]] = defaultdict(list)
    for mmsi, area in _live_memberships([area.pk for area in areas]).values_list("mmsi", "area_id"):
        inside[mmsi].append(area)
    states = VesselState.objects.filter(scope__key=Scope.LIVE, lon__isnull=False)
    newest = states.order_by("-heard_at").values_list("heard_at", flat=True).first()
    if newest is None:
        return {"vessels": [], "cut": False}
    silences = _silences(areas, newest)
    lately = Q(heard_at__gte=newest - SHOWN_FOR) & _in_box(box)
    rows = states.filter(Q(mmsi__in=inside.keys()) | lately).order_by("-heard_at")[: MOST_VESSELS + 1]
    found = list(rows.values_list("mmsi", "lon", "lat", "heading", "course", "speed", "time", "heard_at"))
    names = _names({row[0] for row in found})
    vessels = [
        {
            "mmsi": mmsi,
            "name": names.get(mmsi, ""),
            "lon": lon,
            "lat": lat,
            "heading": heading if heading is not None else course,
            "speed": speed,
            "time": time.isoformat() if time is not None else None,
            "inside": inside.get(mmsi, []),
            "silent": (mmsi, heard_at) in silences,  # not heard since
        }
        for mmsi, lon, lat, heading, course, speed, time, heard_at in found[:MOST_VESSELS]
    ]
    return {"vessels": vessels, "cut": len(found) > MOST_VESSELS}


def _live_memberships(areas: Any) -> Any:
    return Membership.objects.filter(scope__key=Scope.LIVE, area__in=list(areas))


def _silences(areas: Sequence[Area], newest: datetime) -> set[tuple[int, datetime]]:
    """Vessel and when it was last heard, of the silences that were told lately in these areas."""
    rows = Event.objects.filter(
        area__in=[area.pk for area in areas],
        kind=EventKind.MISSING,
        occurred_at__gte=newest - SILENCES_SHOWN_FOR,
        retracted_at__isnull=True,
    )
    return {(mmsi, start) for mmsi, start in rows.values_list("mmsi", "gap_start") if start is not None}


def _in_box(box: Box | None) -> Q:
    if box is None:
        return Q()
    west, south, east, north = box
    lats = Q(lat__gte=south, lat__lte=north)
    if west <= east:
        return lats & Q(lon__gte=west, lon__lte=east)
    return lats & (Q(lon__gte=west) | Q(lon__lte=east))


def _names(mmsis: set[int]) -> dict[int, str]:
    rows = Vessel.objects.filter(mmsi__in=mmsis).values_list("mmsi", "name")
    return {mmsi: vessel_name(name) for mmsi, name in rows}
