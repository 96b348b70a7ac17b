"""Slack, by the incoming webhook that is the channel's address."""

from __future__ import annotations

import json
from collections.abc import Callable

from alerting.transports.addresses import Guard, Resolve, dns_answers, guard_of_settings
from alerting.transports.contract import Outgoing, TransportError, nothing
from alerting.transports.posting import Answer, Poster, refused

HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
LONGEST_TEXT = 3000  # of one section block
# What Slack answers when a webhook is gone for good: docs.slack.dev, "Sending messages using incoming webhooks".
_GONE = ("no_service", "no_active_hooks", "channel_is_archived", "channel_not_found", "no_team", "user_not_found")


def slack_guard() -> Guard:
    """Slack's own hosts, and the networks that the settings allow."""
    return guard_of_settings(hosts=HOSTS)


def escape(text: str) -> str:
    """Text that Slack shows as it stands: no mentions, no links of somebody else's making."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def body_bytes(outgoing: Outgoing) -> bytes:
    """The message as one block of text; the subject is what a notification on a phone shows."""
    text = escape(outgoing.text)[:LONGEST_TEXT]
    said = {
        "text": escape(outgoing.subject),
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}],
        "unfurl_links": False,
        "unfurl_media": False,
    }
    return json.dumps(said).encode()


class SlackTransport:
    """Posts each message by itself; the webhooks of two users have nothing in common."""

    def __init__(self, guard: Guard, *, resolve: Resolve = dns_answers) -> None:
        self._poster = Poster(guard, resolve=resolve)

    def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        """Slack's answer. Raises `TransportError`."""
        headers = {"Content-Type": "application/json; charset=utf-8"}
        answer = self._poster.post(
            outgoing.address, body_bytes(outgoing), headers, deadline=deadline, handover=handover
        )
        if answer.status == 200:
            return answer.told
        raise judge(answer)

    def close(self) -> None:
        self._poster.close()


def judge(answer: Answer) -> TransportError:
    """What an answer that is not a success asks for."""
    gone = answer.status in (404, 410) or any(word in answer.body for word in _GONE)
    return refused(answer, who="Slack", gone=gone)
