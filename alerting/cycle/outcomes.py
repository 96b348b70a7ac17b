"""Outcomes, written in groups: one statement keeps attempts, messages and notifications together.

Each row is fenced by its claim's token: whoever lost the lease writes no state, only that the attempt was made.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction

from accounts.models import Channel
from alerting.channels import Refusal, channels_refused
from alerting.cycle.context import CycleContext
from alerting.cycle.prepared import prepared_run
from alerting.cycle.recheck import Checked
from alerting.cycle.rows import MessageRow
from alerting.cycle.tried import Tried
from alerting.models import Attempt, ErrorKind, State
from alerting.transports import TransportError

_RECORD = """
    WITH outcome AS (
        SELECT id, token, started_at, ended_at, answer, next_attempt_at,
            coalesce(state, 'sent') AS state, coalesce(counted, 1) AS counted, coalesce(outcome, 'sent') AS outcome,
            coalesce(error_kind, '') AS error_kind, coalesce(reason, '') AS reason, coalesce(traceback, '') AS traceback
        FROM json_to_recordset(%(rows)s) AS o(
            id bigint, token uuid, started_at timestamptz, ended_at timestamptz, answer text,
            next_attempt_at timestamptz, state text, counted int, outcome text, error_kind text, reason text,
            traceback text
        )
    ), attempt AS (
        INSERT INTO alerting_attempt
            (message_id, claim_token, started_at, ended_at, outcome, error_kind, error, answer, traceback, worker)
        SELECT id, token, started_at, ended_at, outcome, error_kind, reason, answer, traceback, %(worker)s FROM outcome
        ON CONFLICT DO NOTHING
    ), given_up AS (
        DELETE FROM alerting_lease l USING outcome o WHERE l.message_id = o.id AND l.token = o.token RETURNING o.*
    ), ours AS (
        UPDATE alerting_message m SET
            state = o.state, reason = o.reason, error_kind = o.error_kind, attempts_made = m.attempts_made + o.counted,
            next_attempt_at = coalesce(o.next_attempt_at, m.next_attempt_at),
            sent_at = CASE WHEN o.state = 'sent' THEN o.ended_at END
        FROM given_up o WHERE m.id = o.id
        RETURNING m.id, o.state, o.reason, o.ended_at
    ), told AS (
        UPDATE alerting_notification n SET
            state = ours.state, reason = ours.reason,
            sent_at = CASE WHEN ours.state = 'sent' THEN ours.ended_at END
        FROM ours WHERE n.message_id = ours.id AND n.state = 'pending' AND ours.state IN ('sent', 'failed')
    )
    SELECT id FROM ours
"""


UNCOUNTED_LEAST, UNCOUNTED_MOST = timedelta(seconds=30), timedelta(hours=1)


class Next(NamedTuple):
    """What becomes of a message after an attempt."""

    state: State
    at: datetime | None = None
    counted: bool = True  # as a step of the retry ladder


SENT = Next(State.SENT)  # and so says the statement of an outcome that does not say what comes next


class Settled:
    """Set by one thread, and waited for by one. A bare lock: an `Event` costs several, for each message."""

    __slots__ = ("_lock", "_set")

    def __init__(self) -> None:
        self._set = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        if not self._set:
            self._set = True
            self._lock.release()

    def wait(self, seconds: float) -> bool:
        """Whether it was set within so many seconds."""
        if not self._lock.acquire(timeout=seconds):
            return False
        self._lock.release()  # for whoever asks again
        return True


class Outcome(NamedTuple):
    """What one attempt came to, on its way to the database.

    `settled` is set when it is durable, or when it is given up.
    """

    checked: Checked
    token: UUID
    tried: Tried
    then: Next
    settled: Settled

    @property
    def message_id(self) -> int:
        return self.checked.message.pk


@dataclass(frozen=True, slots=True)
class Recorded:
    """`ours`: messages whose claim still held; of the others only the attempt was kept."""

    ours: frozenset[int]
    disabled: tuple[Channel, ...] = ()


def outcome_of(checked: Checked, token: UUID, tried: Tried, context: CycleContext) -> Outcome:
    """Decide what comes next by the kind of fault and the retry ladder."""
    if tried.fault is None:
        then = SENT
    elif tried.fault.kind == ErrorKind.CONFIGURATION:
        then = Next(State.PENDING, uncounted_until(checked.message, now=tried.ended_at), counted=False)
    else:
        made = checked.message.attempts_made + 1
        then = after_fault(tried.fault, attempts_made=made, context=context, now=tried.ended_at)
    return Outcome(checked, token, tried, then, Settled())


def after_fault(fault: TransportError, *, attempts_made: int, context: CycleContext, now: datetime) -> Next:
    """The retry ladder, pure: `attempts_made` counts this attempt too."""
    if fault.kind == ErrorKind.PERMANENT or attempts_made > len(context.ladder):
        return Next(State.FAILED)
    wait = context.ladder[attempts_made - 1] * (0.9 + 0.2 * context.jitter())
    # what the other side asks for, but no longer than we would wait at most by ourselves
    asked = min(fault.retry_after or 0.0, max(context.ladder))
    return Next(State.PENDING, now + timedelta(seconds=max(wait, asked)))


def uncounted_until(message: MessageRow, *, now: datetime) -> datetime:
    """When a message comes again whose fault is ours to mend, and burns no attempt: after half as long as it has
    waited already, so that it neither hammers nor comes late once somebody has mended it."""
    waited = (now - message.due_at) / 2
    return now + min(max(waited, UNCOUNTED_LEAST), UNCOUNTED_MOST)


def outcomes_record(outcomes: Sequence[Outcome], *, worker: str) -> Recorded:
    """Write all in one statement and so in one transaction, with what refusals do to channels. Raises what the
    database does."""
    refusals = {each.message_id: refusal for each in outcomes if (refusal := _refusal(each))}
    if not refusals:
        return Recorded(_write(outcomes, worker))
    with transaction.atomic():
        ours = _write(outcomes, worker)
        # whoever holds the claim now says what the channel answered
        counted = [refusal for message_id, refusal in refusals.items() if message_id in ours]
        return Recorded(ours, tuple(channels_refused(counted)))


def _write(outcomes: Sequence[Outcome], worker: str) -> frozenset[int]:
    return rows_write([row_of(each.message_id, each.token, each.tried, each.then) for each in outcomes], worker=worker)


def rows_write(rows: Sequence[dict[str, Any]], *, worker: str) -> frozenset[int]:
    """What `row_of` made, in one statement. Returns the messages whose claim still held."""
    # as one JSON text: twelve arrays cost psycopg ten times as much
    values = {"rows": json.dumps(rows), "worker": storable(worker)[:200]}
    return frozenset(row[0] for row in prepared_run(_RECORD, values))


def _refusal(outcome: Outcome) -> Refusal | None:
    fault = outcome.tried.fault
    if fault is None or fault.kind != ErrorKind.PERMANENT:
        return None
    said = storable(str(fault))
    return Refusal(outcome.checked.message.channel_id, said, fault.bounced, outcome.tried.ended_at)


def storable(text: str) -> str:
    """What PostgreSQL can keep: a server may say a NUL, and an exception half of a surrogate pair."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def row_of(message_id: int, token: UUID, tried: Tried, then: Next = SENT) -> dict[str, Any]:
    """One outcome as the statement reads it. Of a message that was accepted the statement knows the rest."""
    row = {
        "id": message_id,
        "token": str(token),
        "started_at": tried.started_at.isoformat(),
        "ended_at": tried.ended_at.isoformat(),
        "answer": storable(tried.answer),
    }
    fault = tried.fault
    if fault is None:
        assert then == SENT
        return row
    return row | {
        "next_attempt_at": then.at.isoformat() if then.at else None,
        "state": then.state,
        "counted": int(then.counted),
        "outcome": Attempt.Outcome.UNKNOWN if fault.unknown else Attempt.Outcome.FAILED,
        "error_kind": fault.kind,
        "reason": storable(str(fault)),
        "traceback": storable(tried.trace),
    }
