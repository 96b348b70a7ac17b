"""Making messages: the one place that gives a message its identity and its times."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit
from uuid import uuid4

from django.conf import settings

from accounts.models import Channel
from alerting.models import Message, MessageKind, lane_of

# A worker of the cadence listens here; the payload is the cadence.
MESSAGES_WAITING = "watchkeeper_messages"


def message_new(
    *, organisation_id: int, channel: Channel, kind: MessageKind, due_at: datetime, now: datetime
) -> Message:
    """A pending message to one channel, not yet stored.

    Its Message-ID is made here, once, so that every repeat of it can be recognised; it begins with the time, so that
    its index grows at one end. It goes stale
    `STALE_AFTER` after it was due, not after what it tells of.
    """
    return Message(
        organisation_id=organisation_id,
        user_id=channel.user_id,
        channel=channel,
        kind=kind,
        lane=lane_of(kind, channel.kind),
        message_id=f"<{int(now.timestamp() * 1e6):014x}{uuid4().hex[:18]}@{urlsplit(settings.PUBLIC_URL).hostname}>",
        due_at=due_at,
        next_attempt_at=due_at,
        expires_at=due_at + settings.STALE_AFTER,
        created_at=now,
    )
