"""Standard Webhooks signatures (standardwebhooks.com, specification 1.0)."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from alerting.models import ErrorKind
from alerting.transports.contract import TransportError


def headers(body: bytes, *, webhook_id: str, at: datetime, secrets: Sequence[str]) -> dict[str, str]:
    """What a receiver verifies by any of the secrets. Raises `TransportError` if there is none."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(_signed(body, webhook_id, at, secret) for secret in _some(secrets)),
    }


def _some(secrets: Sequence[str]) -> Sequence[str]:
    if not secrets:
        raise TransportError(
            "The channel has no secret to sign with: make one on the page of channels.", kind=ErrorKind.PERMANENT
        )
    return secrets


def _signed(body: bytes, webhook_id: str, at: datetime, secret: str) -> str:
    try:
        # in UTC: the library takes the clock's figures for UTC whatever zone they are of
        return Webhook(secret).sign(webhook_id, at.astimezone(UTC), body.decode())
    except (EmptyWebhookSecretError, binascii.Error, ValueError) as fault:
        raise TransportError("The channel's secret is damaged.", kind=ErrorKind.PERMANENT) from fault
