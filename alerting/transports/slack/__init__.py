"""Slack, by the incoming webhook that is the channel's address."""

from __future__ import annotations

import json
from collections.abc import Callable

from alerting.links import history_url
from alerting.transports.addresses import Guard, guard_of_settings
from alerting.transports.contract import Outgoing, TransportError, nothing
from alerting.transports.look_up import Resolve, dns_answers
from alerting.transports.posting import Answer, Poster, refused
from alerting.transports.slack.blocks import MOST_BLOCKS, escape, sections

HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
# What Slack answers when a webhook is gone for good: docs.slack.dev, "Sending messages using incoming webhooks".
_GONE = ("no_service", "no_active_hooks", "channel_is_archived", "channel_not_found", "no_team", "user_not_found")

# `chat.postMessage` also bounds all blocks together, at about 12,000 characters and undocumented; webhooks do not say.
# What is too much is then told in fewer blocks rather than refused.
_FEWER_BLOCKS = 3
_TOO_MUCH = ("invalid_blocks", "msg_blocks_too_long", "msg_too_long")


def slack_guard() -> Guard:
    """Slack's own hosts, and the networks that the settings allow."""
    return guard_of_settings(hosts=HOSTS)


def body_bytes(outgoing: Outgoing, *, most_blocks: int = MOST_BLOCKS) -> bytes:
    """The message as blocks of text; the subject is what a notification on a phone shows."""
    texts = sections(outgoing.text, link=outgoing.link or history_url(), most=most_blocks)
    said = {
        "text": escape(outgoing.subject),
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}} for text in texts],
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
        answer = self._post(outgoing, MOST_BLOCKS, deadline, handover)
        if answer.status == 400 and any(word in answer.body for word in _TOO_MUCH):
            answer = self._post(outgoing, _FEWER_BLOCKS, deadline, handover)
        if answer.status == 200:
            return answer.told
        raise judge(answer)

    def close(self) -> None:
        self._poster.close()

    def _post(self, outgoing: Outgoing, most_blocks: int, deadline: float, handover: Callable[[], None]) -> Answer:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        body = body_bytes(outgoing, most_blocks=most_blocks)
        return self._poster.post(outgoing.address, body, headers, deadline=deadline, handover=handover)


def judge(answer: Answer) -> TransportError:
    """What an answer that is not a success asks for."""
    gone = answer.status in (404, 410) or any(word in answer.body for word in _GONE)
    return refused(answer, who="Slack", gone=gone)
