"""What operators do by hand to a notification: retry, cancel, mark handled. Each is recorded.

The message is locked before its notifications, as the send cycle does, so that a claim and an operator never
undo each other.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction

from accounts.models import User
from alerting.cycle.queue import senders_wake
from alerting.messages import message_new
from alerting.models import (
    RETRYABLE_STATES,
    Cadence,
    Lease,
    Message,
    MessageKind,
    Notification,
    OperatorAction,
    State,
)


class OperationRefused(Exception):
    """The notification's state does not allow it; the text says why."""


@transaction.atomic
def notification_retry(*, notification: Notification, by: User, at: datetime) -> None:
    """Send again what ended unsent: due now, with all its attempts and its 48 hours anew.

    Within a digest or a summary the whole message is retried. Raises `OperationRefused`.
    """
    row, message = _locked(notification)
    if row.state not in RETRYABLE_STATES:
        raise OperationRefused(f"it is {row.state}; only failed, stale, quarantined and cancelled ones can be retried")
    from_state = row.state
    if message is None:
        _retry_unattached(row, at=at)
    elif message.state in RETRYABLE_STATES:
        ended = message.state
        _retry_message(message, at=at)
        # what a re-check had taken out of a digest stays out: its words do not tell of it
        message.notifications.filter(state=ended).update(
            state=State.PENDING, reason="", due_at=at, handled_by=None, handled_at=None, summary=None
        )
    else:
        raise OperationRefused(f"its message is {message.state} already")
    _record(row, OperatorAction.Action.RETRY, by=by, at=at, from_state=from_state, to_state=State.PENDING)
    senders_wake("realtime" if row.cadence == Cadence.REALTIME else "digest")


@transaction.atomic
def notification_cancel(*, notification: Notification, by: User, at: datetime) -> None:
    """Give up what waits. Raises `OperationRefused` when it is being sent, or has ended."""
    row, message = _locked(notification)
    if row.state != State.PENDING:
        raise OperationRefused(f"it is {row.state}; only what waits can be cancelled")
    reason = f"cancelled by {by}"
    if message is not None:
        # asked once the message is locked: nobody can take it any more
        if message.state != State.PENDING or Lease.objects.filter(message=message).exists():
            raise OperationRefused("it is being sent at this moment")
        if message.notifications.filter(state=State.PENDING).exclude(pk=row.pk).exists():
            raise OperationRefused("it is part of a digest that is fixed; cancel the other parts with it")
        message.state, message.reason = State.CANCELLED, reason
        message.save(update_fields=["state", "reason"])
    _record(row, OperatorAction.Action.CANCEL, by=by, at=at, from_state=row.state, to_state=State.CANCELLED)
    row.state, row.reason = State.CANCELLED, reason
    row.save(update_fields=["state", "reason"])


@transaction.atomic
def notification_mark_handled(*, notification: Notification, by: User, at: datetime) -> None:
    """Note that somebody took care of it otherwise. Raises `OperationRefused` for what needs nobody."""
    row, _ = _locked(notification)
    if row.state not in RETRYABLE_STATES:
        raise OperationRefused(f"it is {row.state}; nothing is to be handled")
    if row.handled_at is not None:
        raise OperationRefused(f"{row.handled_by} handled it already")
    row.handled_by, row.handled_at = by, at
    row.save(update_fields=["handled_by", "handled_at"])
    _record(row, OperatorAction.Action.MARK_HANDLED, by=by, at=at, from_state=row.state, to_state=row.state)


def _locked(notification: Notification) -> tuple[Notification, Message | None]:
    message = None
    if notification.message_id is not None:
        message = Message.objects.select_for_update().get(pk=notification.message_id)
    return Notification.objects.select_for_update().get(pk=notification.pk), message


def _retry_message(message: Message, *, at: datetime) -> None:
    message.state, message.reason, message.error_kind = State.PENDING, "", ""
    message.due_at = message.next_attempt_at = at
    message.expires_at = at + settings.STALE_AFTER
    message.attempts_made = message.deaths = 0
    message.save(
        update_fields=[
            "state", "reason", "error_kind", "due_at", "next_attempt_at", "expires_at", "attempts_made", "deaths",
        ]
    )  # fmt: skip


def _retry_unattached(row: Notification, *, at: datetime) -> None:
    """It never had a message: a realtime one gets one now, a digest's waits for the next window's cycle."""
    row.state, row.reason, row.due_at, row.handled_by, row.handled_at = State.PENDING, "", at, None, None
    row.summary = None
    if row.cadence == Cadence.REALTIME:
        row.message = message_new(
            organisation_id=row.organisation_id, channel=row.channel, kind=MessageKind.REALTIME, due_at=at, now=at
        )
        row.message.save()
    row.save(update_fields=["state", "reason", "due_at", "handled_by", "handled_at", "message", "summary"])


def _record(
    row: Notification, action: OperatorAction.Action, *, by: User, at: datetime, from_state: str, to_state: str
) -> None:
    OperatorAction.objects.create(
        action=action,
        notification=row,
        message_id=row.message_id,
        by=by,
        at=at,
        from_state=from_state,
        to_state=to_state,
    )
