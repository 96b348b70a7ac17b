"""One message to one webhook."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from alerting.transports.addresses import Guard
from alerting.transports.contract import Outgoing, nothing
from alerting.transports.look_up import Resolve, dns_answers
from alerting.transports.posting import Poster, refused
from alerting.transports.webhook.body import body_bytes, webhook_id
from alerting.transports.webhook.signature import headers

_GONE = 410  # "the receiver wants no more": Standard Webhooks asks senders to stop


def _now() -> datetime:
    return datetime.now(UTC)


class WebhookTransport:
    """Posts each message by itself; the webhooks of two users have nothing in common."""

    def __init__(self, guard: Guard, *, resolve: Resolve = dns_answers, clock: Callable[[], datetime] = _now) -> None:
        self._poster = Poster(guard, resolve=resolve)
        self._clock = clock

    def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        """The receiver's answer. Raises `TransportError`."""
        body = body_bytes(outgoing)
        # by the clock, not by `outgoing.at`: receivers refuse a time-stamp that is minutes old
        signed = headers(body, webhook_id=webhook_id(outgoing.message_id), at=self._clock(), secrets=outgoing.secrets)
        answer = self._poster.post(
            outgoing.address,
            body,
            {"Content-Type": "application/json; charset=utf-8", **signed},
            deadline=deadline,
            handover=handover,
        )
        if 200 <= answer.status < 300:
            return answer.told
        raise refused(answer, who="The webhook", gone=answer.status == _GONE)

    def close(self) -> None:
        self._poster.close()
