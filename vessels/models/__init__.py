"""Feeds, positions, vessels, areas, the watch's memory, events."""

from __future__ import annotations

from vessels.models.area import Area, AreaUse, AreaVersion
from vessels.models.event import Event, EventKind
from vessels.models.feed import BoundedSource, Feed, FeedGap, FeedRejection
from vessels.models.position import Position
from vessels.models.vessel import Vessel, VesselClass, VesselIdentity, Watchlist, WatchlistEntry
from vessels.models.watch import Membership, RecentPayloads, Scope, VesselState

__all__ = [
    "Area",
    "AreaUse",
    "AreaVersion",
    "BoundedSource",
    "Event",
    "EventKind",
    "Feed",
    "FeedGap",
    "FeedRejection",
    "Membership",
    "Position",
    "RecentPayloads",
    "Scope",
    "Vessel",
    "VesselClass",
    "VesselIdentity",
    "VesselState",
    "Watchlist",
    "WatchlistEntry",
]
