from __future__ import annotations

from django.apps import AppConfig


class AlertingConfig(AppConfig):
    """Rules, subscriptions, matching, messages and the cycles that send them."""

    name = "alerting"
