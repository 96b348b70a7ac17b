from __future__ import annotations

from django.apps import AppConfig


class VesselsConfig(AppConfig):
    """Feeds, positions, vessels, areas, the watch and its events."""

    name = "vessels"
