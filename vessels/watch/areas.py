"""The areas that rules use, as the watch sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shapely import MultiPolygon

from vessels.geometry.distance import Boundary
from vessels.geometry.geofence import Geofence


@dataclass(frozen=True, slots=True)
class WatchedArea:
    """One area in use: `missing` holds pairs (duration, time since which a rule asks), in microseconds."""

    id: int
    version: int
    geometry: MultiPolygon
    missing: tuple[tuple[int, int], ...] = ()


class WatchedAreas:
    """All areas in use, indexed. Immutable: a change makes a new one."""

    def __init__(self, areas: Iterable[WatchedArea] = ()) -> None:
        self.by_id = {area.id: area for area in areas}
        self.fence = Geofence({area.id: area.geometry for area in self.by_id.values()})
        self.missing = {area.id: area.missing for area in self.by_id.values() if area.missing}
        durations = [duration for uses in self.missing.values() for duration, _ in uses]
        self.shortest = min(durations, default=None)
        self._boundaries: dict[int, Boundary] = {}

    def version(self, area: int) -> int:
        return self.by_id[area].version

    def boundary(self, area: int) -> Boundary:
        """Made when first asked for: only a vessel that goes missing needs it."""
        if area not in self._boundaries:
            self._boundaries[area] = Boundary(self.by_id[area].geometry)
        return self._boundaries[area]
