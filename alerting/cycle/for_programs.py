"""What a message tells a program that reads it, as webhooks do. Other ways out do without, which keeps them fast."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from accounts.models import ChannelKind
from alerting import links
from alerting.cycle.facts import alert_of
from alerting.cycle.load import Loaded
from alerting.cycle.recheck import Checked
from alerting.rendering.facts import Alert


class ForPrograms(TypedDict, total=False):
    """Fields of `Outgoing`."""

    kind: str
    due_at: datetime
    link: str
    events: tuple[Alert, ...]
    secrets: tuple[str, ...]


def for_programs(checked: Checked, found: Loaded, *, now: datetime) -> ForPrograms:
    """Nothing for a channel that only people read."""
    channel, message = checked.channel, checked.message
    if channel is None or channel.kind != ChannelKind.WEBHOOK:
        return {}
    events = tuple(alert_of(one, found) for one in checked.wanted)
    return {
        "kind": message.kind,
        "due_at": message.due_at,
        "link": events[0].link if len(events) == 1 else links.history_url(),
        "events": events,
        "secrets": channel.secrets_at(now),
    }
