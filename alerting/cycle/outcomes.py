"""Outcomes, written in groups: one statement keeps attempts, messages and notifications together.

Each row is fenced by its claim's token: whoever lost the lease writes no state, only that the attempt was made.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts.models import Channel
from alerting.cycle.context import CycleContext
from alerting.cycle.recheck import Checked
from alerting.cycle.send import Tried
from alerting.models import Attempt, ErrorKind, State
from alerting.transports import TransportError

_RECORD = """
    WITH outcome AS (
        SELECT * FROM unnest(
            %(ids)s::bigint[], %(tokens)s::uuid[], %(states)s::text[], %(reasons)s::text[], %(error_kinds)s::text[],
            %(next_attempts)s::timestamptz[], %(starts)s::timestamptz[], %(ends)s::timestamptz[],
            %(outcomes)s::text[], %(errors)s::text[], %(answers)s::text[], %(traces)s::text[]
        ) AS o(id, token, state, reason, error_kind, next_attempt_at, started_at, ended_at, outcome, error, answer,
               traceback)
    ), attempt AS (
        INSERT INTO alerting_attempt
            (message_id, claim_token, started_at, ended_at, outcome, error_kind, error, answer, traceback, worker)
        SELECT id, token, started_at, ended_at, outcome, error_kind, error, answer, traceback, %(worker)s FROM outcome
    ), ours AS (
        UPDATE alerting_message m SET
            state = o.state, reason = o.reason, error_kind = o.error_kind, attempts_made = m.attempts_made + 1,
            next_attempt_at = coalesce(o.next_attempt_at, m.next_attempt_at),
            sent_at = CASE WHEN o.state = 'sent' THEN o.ended_at END,
            claim_token = NULL, lease_until = NULL, claimed_by = ''
        FROM outcome o WHERE m.id = o.id AND m.claim_token = o.token
        RETURNING m.id, o.state, o.reason, o.ended_at
    ), told AS (
        UPDATE alerting_notification n SET
            state = ours.state, reason = ours.reason,
            sent_at = CASE WHEN ours.state = 'sent' THEN ours.ended_at END
        FROM ours WHERE n.message_id = ours.id AND n.state = 'pending' AND ours.state IN ('sent', 'failed')
    )
    SELECT id FROM ours
"""


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a message after an attempt."""

    state: State
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to, on its way to the database.

    `settled` is set when it is durable, or when it is given up: whoever sent it may then send the next one.
    """

    checked: Checked
    token: UUID
    tried: Tried
    then: Next
    settled: threading.Event = field(default_factory=threading.Event, compare=False)

    @property
    def message_id(self) -> int:
        return self.checked.message.pk


def outcome_of(checked: Checked, token: UUID, tried: Tried, context: CycleContext) -> Outcome:
    """Decide what comes next by the kind of fault and the retry ladder."""
    if tried.fault is None:
        then = Next(State.SENT)
    else:
        made = checked.message.attempts_made + 1
        then = after_fault(tried.fault, attempts_made=made, context=context, now=tried.ended_at)
    return Outcome(checked, token, tried, then)


def after_fault(fault: TransportError, *, attempts_made: int, context: CycleContext, now: datetime) -> Next:
    """The retry ladder, pure: `attempts_made` counts this attempt too."""
    if fault.kind == ErrorKind.PERMANENT or attempts_made > len(context.ladder):
        return Next(State.FAILED)
    wait = context.ladder[attempts_made - 1] * (0.9 + 0.2 * context.jitter())
    return Next(State.PENDING, now + timedelta(seconds=wait))


def outcomes_record(outcomes: Sequence[Outcome], *, worker: str) -> frozenset[int]:
    """Write all in one statement and so in one transaction.

    Returns the messages that were still ours: of the others only the attempt was kept. Raises what the database does.
    """
    bounced = [each for each in outcomes if each.tried.fault is not None and each.tried.fault.bounced]
    if not bounced:
        return _write(outcomes, worker)
    with transaction.atomic():
        ours = _write(outcomes, worker)
        for each in bounced:
            _channel_disable(each)
    return ours


def _write(outcomes: Sequence[Outcome], worker: str) -> frozenset[int]:
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, _values(outcomes) | {"worker": worker[:200]})
        return frozenset(row[0] for row in cursor.fetchall())


def _channel_disable(outcome: Outcome) -> None:
    Channel.objects.filter(pk=outcome.checked.message.channel_id, disabled_at__isnull=True).update(
        disabled_at=outcome.tried.ended_at,
        disabled_reason=storable(f"Its address was refused: {outcome.tried.fault}")[:500],
    )


def storable(text: str) -> str:
    """PostgreSQL keeps no NUL in a text; a server may say one."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _values(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    faults = [each.tried.fault for each in outcomes]
    said = ["" if fault is None else storable(str(fault)) for fault in faults]
    return {
        "ids": [each.message_id for each in outcomes],
        "tokens": [each.token for each in outcomes],
        "states": [str(each.then.state) for each in outcomes],
        "reasons": said,
        "error_kinds": ["" if fault is None else str(fault.kind) for fault in faults],
        "next_attempts": [each.then.at for each in outcomes],
        "starts": [each.tried.started_at for each in outcomes],
        "ends": [each.tried.ended_at for each in outcomes],
        "outcomes": [str(_attempt_outcome(fault)) for fault in faults],
        "errors": said,
        "answers": [storable(each.tried.answer) for each in outcomes],
        "traces": [storable(each.tried.trace) for each in outcomes],
    }


def _attempt_outcome(fault: TransportError | None) -> Attempt.Outcome:
    if fault is None:
        return Attempt.Outcome.SENT
    return Attempt.Outcome.UNKNOWN if fault.unknown else Attempt.Outcome.FAILED
