"""Digests: what waited for its hour becomes one message for each window (user, channel, cadence, due time).

One transaction makes the digest and its message and attaches every unattached notification due by then. Rows are
locked and the window's key is unique, so two processes at once make one digest. A notification that was committed
only after its window was made joins the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Max

from accounts.models import Channel
from alerting.matching import due_after
from alerting.messages import message_new
from alerting.models import Digest, MessageKind, Notification
from resilience.guard import Guard, Policy
from resilience.guard_metrics import GUARD_METRICS
from resilience.observers import GuardLog

log = structlog.get_logger(__name__)

BATCH = 200

# An integrity error: another process made it, and the next step finds what is left.
_GUARD = Guard(
    "digest", Policy(expected=(IntegrityError,)), observers=(GUARD_METRICS, GuardLog(panic_event="digest_failed"))
)


@dataclass(frozen=True, slots=True)
class Window:
    """What one digest tells: all of a user's channel and cadence up to its due time."""

    user_id: int
    channel_id: int
    cadence: str
    due_at: datetime


def digest_step(*, now: datetime) -> int:
    """Make the digests that are due, each guarded by itself; returns how many notifications found their place."""
    placed = 0
    for window in windows_due(now=now):
        outcome = _GUARD.run(
            lambda _, window=window: digest_make(window, now=now),  # type: ignore[misc]
            details={"user": window.user_id, "channel": window.channel_id, "due_at": window.due_at.isoformat()},
        )
        placed += outcome.value or 0
    return placed


def windows_due(*, now: datetime) -> list[Window]:
    """Empty windows are not among them: what nobody waits for makes no digest."""
    rows = (
        Notification.objects.unattached()
        .filter(due_at__lte=now)
        .order_by()
        .values("subscription__user_id", "channel_id", "cadence")
        .annotate(last_due_at=Max("due_at"))
        .order_by("last_due_at")[:BATCH]
    )
    return [Window(row["subscription__user_id"], row["channel_id"], row["cadence"], row["last_due_at"]) for row in rows]


@transaction.atomic
def digest_make(window: Window, *, now: datetime) -> int:
    """Attach all that is due by the window's time, or put it off if the window's digest was made before."""
    waiting = list(
        Notification.objects.unattached()
        .filter(
            subscription__user=window.user_id,
            channel=window.channel_id,
            cadence=window.cadence,
            due_at__lte=window.due_at,
        )
        .select_related("subscription__user")
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    if not waiting:  # another process was first
        return 0
    key = {
        "user_id": window.user_id,
        "channel_id": window.channel_id,
        "cadence": window.cadence,
        "due_at": window.due_at,
    }
    if Digest.objects.filter(**key).exists():
        return _put_off(waiting, now=now)
    channel = Channel.objects.get(pk=window.channel_id)
    message = message_new(
        organisation_id=waiting[0].organisation_id,
        channel=channel,
        kind=MessageKind.DIGEST,
        due_at=window.due_at,
        now=now,
    )
    message.save()
    Digest.objects.create(message=message, **key)
    Notification.objects.filter(pk__in=[one.pk for one in waiting]).update(message=message)
    log.info("digest_made", message=message.pk, cadence=window.cadence, notifications=len(waiting))
    return len(waiting)


def _put_off(late: Sequence[Notification], *, now: datetime) -> int:
    for one in late:
        one.due_at = due_after(one.subscription, now=now)
    Notification.objects.bulk_update(late, ["due_at"])
    return len(late)
