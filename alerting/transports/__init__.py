"""The ways out: one folder for each, and the one place that knows which kind of channel takes which."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from accounts.models import ChannelKind
from alerting.models import ErrorKind
from alerting.transports.addresses import Guard
from alerting.transports.contract import (
    Heard,
    Line,
    LineTransport,
    NotHandedOver,
    Outgoing,
    Transport,
    TransportError,
    nothing,
)
from alerting.transports.email import EmailTransport, smtp_settings
from alerting.transports.slack import SlackTransport, slack_guard
from alerting.transports.webhook import WebhookTransport, webhook_guard

__all__ = [
    "Heard",
    "Line",
    "LineTransport",
    "NotHandedOver",
    "Outgoing",
    "Transport",
    "TransportError",
    "UnknownKind",
    "guard_for",
    "nothing",
    "transport_for",
]


class UnknownKind:
    """Answers for a kind of channel that no transport carries."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        raise TransportError(
            f"This installation cannot send to channels of the kind {self.kind!r}.", kind=ErrorKind.PERMANENT
        )

    def close(self) -> None:
        """Nothing was opened."""


def guard_for(kind: str) -> Guard | None:
    """Which URLs a channel of this kind may have; None where its address is no URL."""
    guards: dict[str, Callable[[], Guard]] = {ChannelKind.SLACK: slack_guard, ChannelKind.WEBHOOK: webhook_guard}
    return guards[kind]() if kind in guards else None


def transport_for(kind: str) -> Transport:
    """A fresh transport for one send cycle."""
    if kind == ChannelKind.EMAIL and settings.ANYMAIL_PROVIDER:
        from alerting.transports.anymail import anymail_of_settings  # an optional dependency

        return anymail_of_settings()
    if kind == ChannelKind.EMAIL:
        return EmailTransport(smtp_settings())
    if kind == ChannelKind.SLACK:
        return SlackTransport(slack_guard())
    if kind == ChannelKind.WEBHOOK:
        return WebhookTransport(webhook_guard())
    return UnknownKind(kind)
