"""Webhooks: a signed JSON POST to a user's own program. `docs/webhooks.md` is what its author reads."""

from __future__ import annotations

from alerting.transports.addresses import Guard, guard_of_settings
from alerting.transports.webhook.sending import WebhookTransport

__all__ = ["WebhookTransport", "webhook_guard"]


def webhook_guard() -> Guard:
    """Any public host by https, and the networks that the settings allow."""
    return guard_of_settings()
