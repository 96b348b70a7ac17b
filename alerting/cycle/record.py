"""Outcomes, fenced by the claim's token: whoever lost the lease writes no state, only that the attempt was made.

A message's state, its notifications' states, the attempt and a disabled channel are one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from accounts.models import Channel
from alerting.cycle.context import CycleContext
from alerting.cycle.queue import Claim
from alerting.cycle.recheck import Checked
from alerting.cycle.render import Written
from alerting.cycle.send import Tried
from alerting.models import Attempt, ErrorKind, Message, MessageKind, Notification, State
from alerting.transports import TransportError

log = structlog.get_logger(__name__)

_RELEASED = {"claim_token": None, "lease_until": None}


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a message after a fault."""

    state: State
    at: datetime | None = None


def after_fault(fault: TransportError, *, attempts_made: int, context: CycleContext, now: datetime) -> Next:
    """The retry ladder, pure: `attempts_made` counts this attempt too."""
    if fault.kind == ErrorKind.PERMANENT or attempts_made > len(context.ladder):
        return Next(State.FAILED)
    wait = context.ladder[attempts_made - 1] * (0.9 + 0.2 * context.jitter())
    return Next(State.PENDING, now + timedelta(seconds=wait))


def words_fix(claimed: Claim, written: Sequence[Written]) -> frozenset[int]:
    """Keep the words of first attempts before they leave, and cancel what a re-check left out of them.

    Returns which messages are still ours; a message that is not must not be sent.
    """
    fresh = [one for one in written if one.fresh]
    with transaction.atomic(), connection.cursor() as cursor:
        rows = [one.checked.message for one in fresh]
        cursor.execute(
            "UPDATE alerting_message m SET subject = v.subject, text = v.text, html = v.html"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) AS v(id, subject, text, html)"
            " WHERE m.id = v.id AND m.claim_token = %s RETURNING m.id",
            [
                [row.pk for row in rows],
                [row.subject for row in rows],
                [row.text for row in rows],
                [row.html for row in rows],
                claimed.token,
            ],
        )
        ours = {row[0] for row in cursor.fetchall()}
        for one in fresh:
            if one.checked.message.pk in ours:
                _cancel_dropped(one.checked)
    return frozenset(ours | {one.checked.message.pk for one in written if not one.fresh})


@transaction.atomic
def end_record(checked: Checked, *, token: UUID) -> bool:
    """A message that the re-check ended without an attempt. False if it is no longer ours."""
    message = checked.message
    end = checked.end
    assert end is not None
    if not _fenced(message, token, state=end, reason=checked.reason):
        return False
    _cancel_dropped(checked)
    dropped = [one.pk for one, _ in checked.dropped]
    _notifications(message).exclude(pk__in=dropped).update(state=end, reason=checked.reason)
    if end == State.STALE and message.kind == MessageKind.SUMMARY:
        Notification.objects.filter(summary=message).update(summary=None)  # the next summary tells of them
    return True


@transaction.atomic
def success_record(checked: Checked, tried: Tried, *, token: UUID, context: CycleContext) -> bool:
    """The server accepted it. False if the lease was lost meanwhile: the attempt is kept, the state is others'."""
    message = checked.message
    _attempt(message, tried, token=token, context=context, outcome=Attempt.Outcome.SENT)
    changes = {
        "state": State.SENT,
        "sent_at": tried.ended_at,
        "reason": "",
        "error_kind": "",
        "attempts_made": message.attempts_made + 1,
    }
    if not _fenced(message, token, **changes):
        return False
    _notifications(message).update(state=State.SENT, sent_at=tried.ended_at, reason="")
    return True


@transaction.atomic
def fault_record(checked: Checked, tried: Tried, *, token: UUID, context: CycleContext) -> Next | None:
    """It was not accepted, or nobody knows. None if the lease was lost meanwhile."""
    message, fault = checked.message, tried.fault
    assert fault is not None
    outcome = Attempt.Outcome.UNKNOWN if fault.unknown else Attempt.Outcome.FAILED
    _attempt(message, tried, token=token, context=context, outcome=outcome)
    made = message.attempts_made + 1
    then = after_fault(fault, attempts_made=made, context=context, now=tried.ended_at)
    changes: dict[str, Any] = {"next_attempt_at": then.at} if then.at else {}
    changes |= {"state": then.state, "reason": _storable(str(fault)), "error_kind": fault.kind, "attempts_made": made}
    if not _fenced(message, token, **changes):
        return None
    if then.state == State.FAILED:
        _notifications(message).update(state=State.FAILED, reason=_storable(str(fault)))
    if fault.bounced:
        Channel.objects.filter(pk=message.channel_id, disabled_at__isnull=True).update(
            disabled_at=tried.ended_at, disabled_reason=_storable(f"Its address was refused: {fault}")[:500]
        )
    return then


def _fenced(message: Message, token: UUID, **changes: Any) -> bool:
    ours = Message.objects.filter(pk=message.pk, claim_token=token).update(**changes, **_RELEASED)
    if not ours:
        log.warning("outcome_fenced", message=message.pk)
    return bool(ours)


def _attempt(message: Message, tried: Tried, *, token: UUID, context: CycleContext, outcome: Attempt.Outcome) -> None:
    Attempt.objects.create(
        message=message,
        claim_token=token,
        started_at=tried.started_at,
        ended_at=tried.ended_at,
        outcome=outcome,
        error_kind=tried.fault.kind if tried.fault else "",
        error=_storable(str(tried.fault)) if tried.fault else "",
        answer=_storable(tried.answer),
        traceback=_storable(tried.trace),
        worker=context.worker[:200],
    )


def _storable(text: str) -> str:
    """PostgreSQL keeps no NUL in a text; a server may say one."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _notifications(message: Message) -> Any:
    return Notification.objects.filter(message=message, state=State.PENDING)


def _cancel_dropped(checked: Checked) -> None:
    for one, reason in checked.dropped:
        _notifications(checked.message).filter(pk=one.pk).update(state=State.CANCELLED, reason=reason)
