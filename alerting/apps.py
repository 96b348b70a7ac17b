from __future__ import annotations

from django.apps import AppConfig, apps


class AlertingConfig(AppConfig):
    """Rules, subscriptions, matching, messages and the cycles that send them."""

    name = "alerting"

    def ready(self) -> None:
        if apps.is_installed("anymail"):
            from anymail.signals import tracking

            from alerting.bounces.tracking import tracking_take

            tracking.connect(tracking_take, dispatch_uid="watchkeeper")
