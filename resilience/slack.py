"""Slack, as the poster needs it: one call that sends a text, and one error that says when to try again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from resilience.redaction import redact_text

TIMEOUT_SECONDS = 5
_MENTION = re.compile(r"@(?=(?:channel|here|everyone)\b)", re.IGNORECASE)


class SlackFault(Exception):
    """Slack did not take the message. `retry_after`: seconds that Slack asked us to wait, where it did."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Slack:
    """`send(text, reply_to)` returns a reference `channel:timestamp`, or nothing for a webhook."""

    send: Callable[[str, str], str]


def slack_from_settings() -> Slack | None:
    """The webhook, else the bot and its channel, else None: incidents are then seen in the log and the admin."""
    if settings.SLACK_WEBHOOK_URL:
        return Slack(_webhook(settings.SLACK_WEBHOOK_URL))
    if settings.SLACK_BOT_TOKEN and settings.SLACK_CHANNEL:
        return Slack(_bot(settings.SLACK_BOT_TOKEN, settings.SLACK_CHANNEL))
    return None


def escape(text: str) -> str:
    """Text that Slack shows as it is: no mention, no link under another name, no code block broken open."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "ˋ")
    return _MENTION.sub("@\u200b", text)


def _webhook(url: str) -> Callable[[str, str], str]:
    client = WebhookClient(url, timeout=TIMEOUT_SECONDS, retry_handlers=[])

    def send(text: str, reply_to: str) -> str:
        try:
            answer = client.send(text=text, unfurl_links=False, unfurl_media=False)
        except Exception as error:  # urllib's, socket's and http's errors have no common base
            raise SlackFault(_told(error)) from error
        if answer.status_code != 200:
            wait = _seconds(answer.headers.get("Retry-After")) if answer.status_code == 429 else None
            raise SlackFault(redact_text(f"HTTP {answer.status_code}: {answer.body[:200]}"), retry_after=wait)
        return ""

    return send


def _bot(token: str, channel: str) -> Callable[[str, str], str]:
    api = getattr(settings, "SLACK_API_URL", WebClient.BASE_URL)
    client = WebClient(token, base_url=api, timeout=TIMEOUT_SECONDS, retry_handlers=[])

    def send(text: str, reply_to: str) -> str:
        thread = reply_to.partition(":")[2] or None
        try:
            answer = client.chat_postMessage(
                channel=channel, text=text, thread_ts=thread, unfurl_links=False, unfurl_media=False
            )
        except SlackApiError as error:
            headers = getattr(error.response, "headers", {})
            raise SlackFault(_told(error), retry_after=_seconds(headers.get("Retry-After"))) from error
        except Exception as error:  # urllib's, socket's and http's errors have no common base
            raise SlackFault(_told(error)) from error
        return f"{answer.get('channel', channel)}:{answer.get('ts', '')}"

    return send


def _told(error: Exception) -> str:
    return redact_text(f"{type(error).__name__}: {error}")[:300]


def _seconds(header: object) -> float | None:
    """Retry-After in seconds, kept between a second and an hour; 30 where it cannot be read."""
    if header is None:
        return None
    try:
        return min(max(float(str(header)), 1.0), 3600.0)
    except ValueError:
        return 30.0
