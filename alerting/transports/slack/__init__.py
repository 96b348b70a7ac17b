"""Slack, by the incoming webhook that is the channel's address."""

from __future__ import annotations

import http.client
import time
import urllib.error
from collections.abc import Callable

from slack_sdk.webhook import WebhookClient

from alerting.models import ErrorKind
from alerting.transports.contract import Outgoing, TransportError, nothing

LONGEST_TEXT = 3000  # of one section block
# What Slack answers when a webhook is gone for good: docs.slack.dev, "Sending messages using incoming webhooks".
_GONE = ("no_service", "no_active_hooks", "channel_is_archived", "channel_not_found", "no_team", "user_not_found")


def escape(text: str) -> str:
    """Text that Slack shows as it stands: no mentions, no links of somebody else's making."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class SlackTransport:
    """Posts each message by itself; the webhooks of two users have nothing in common."""

    def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        """Slack's answer. Raises `TransportError`."""
        if not outgoing.address.startswith(("https://", "http://")):
            raise TransportError("The channel's address is not a URL.", kind=ErrorKind.PERMANENT, bounced=True)
        client = WebhookClient(outgoing.address, timeout=max(1, int(deadline - time.monotonic())))
        body = escape(outgoing.text)[:LONGEST_TEXT]
        handover()
        try:
            answer = client.send(
                text=escape(outgoing.subject),
                blocks=[{"type": "section", "text": {"type": "mrkdwn", "text": body, "verbatim": True}}],
                unfurl_links=False,
                unfurl_media=False,
            )
        except (TimeoutError, ConnectionResetError, http.client.HTTPException) as fault:
            raise TransportError(
                "Slack did not answer: it may have taken the message.",
                kind=ErrorKind.TRANSIENT,
                answer=f"{type(fault).__name__}: {fault}",
                unknown=True,
            ) from fault
        except (urllib.error.URLError, OSError, ValueError) as fault:
            raise TransportError(
                "Slack cannot be reached.", kind=ErrorKind.TRANSIENT, answer=f"{type(fault).__name__}: {fault}"
            ) from fault
        told = f"{answer.status_code} {answer.body}"[:2000]
        if answer.status_code == 200:
            return told
        raise judge(answer.status_code, answer.body or "", told)

    def close(self) -> None:
        """Nothing is kept open."""


def judge(status: int, body: str, told: str) -> TransportError:
    """What an answer that is not a success asks for."""
    gone = status in (404, 410) or any(word in body for word in _GONE)
    if gone:
        return TransportError(f"Slack answered: {told}", kind=ErrorKind.PERMANENT, answer=told, bounced=True)
    kind = ErrorKind.TRANSIENT if status == 429 or status >= 500 else ErrorKind.PERMANENT
    return TransportError(f"Slack answered: {told}", kind=kind, answer=told)
