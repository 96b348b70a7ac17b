"""What becomes of a message after an attempt: the retry ladder, and what is kept of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerting.cycle.context import REALTIME, CycleContext
from alerting.cycle.outcomes import SENT, Next, after_fault, row_of, rows_write, storable
from alerting.cycle.queue import claim
from alerting.cycle.tried import Tried
from alerting.cycle.ways_out import probe_after
from alerting.models import Attempt, ErrorKind, Lease, Message, State
from alerting.transports import TransportError
from tests.alerting.cycle.conftest import Post
from tests.alerting.world import NOW

LATER = NOW + timedelta(minutes=2)


def wait_after(fault: TransportError, *, attempts: int = 1, jitter: float = 0.5) -> float:
    context = CycleContext(cadence=REALTIME, ladder=(30, 120, 3600), jitter=lambda: jitter)
    then = after_fault(fault, attempts_made=attempts, context=context, now=NOW)
    assert then.state == State.PENDING
    assert then.at is not None
    return (then.at - NOW) / timedelta(seconds=1)


def transient(retry_after: float | None = None) -> TransportError:
    return TransportError("busy", kind=ErrorKind.TRANSIENT, retry_after=retry_after)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30), (2, 120), (3, 3600)])
def test_each_attempt_waits_longer(attempts: int, seconds: float) -> None:
    assert wait_after(transient(), attempts=attempts) == seconds


def test_the_wait_is_spread_by_a_tenth_either_way() -> None:
    assert [wait_after(transient(), jitter=jitter) for jitter in (0.0, 1.0)] == [27, 33]


def test_the_ladder_ends_in_failed() -> None:
    context = CycleContext(cadence=REALTIME, ladder=(30,))

    assert after_fault(transient(), attempts_made=2, context=context, now=NOW).state == State.FAILED


def test_a_permanent_fault_is_not_tried_again() -> None:
    fault = TransportError("no such user", kind=ErrorKind.PERMANENT)

    assert after_fault(fault, attempts_made=1, context=CycleContext(cadence=REALTIME), now=NOW).state == State.FAILED


@pytest.mark.parametrize(("asked", "seconds"), [(5, 30), (90, 90), (10**9, 3600)])
def test_what_the_other_side_asks_for_is_kept_within_reason(asked: float, seconds: float) -> None:
    assert wait_after(transient(asked)) == seconds


def test_what_no_column_keeps_is_replaced() -> None:
    assert storable("a\x00b\udcffc") == "a�b?c"


def test_a_way_that_is_shut_is_probed_when_the_other_side_asks_for_it_within_reason() -> None:
    def after(retry_after: float | None) -> float:
        fault = TransportError("busy", kind=ErrorKind.TRANSIENT, whole_kind=True, retry_after=retry_after)
        return probe_after(fault).total_seconds()

    assert [after(None), after(3), after(120), after(86_400)] == [15, 15, 120, 600]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("fault", "then", "kept"),
    [
        (None, SENT, ("sent", "", "", 1, NOW, "sent", "", "250 Ok", "")),
        (
            TransportError("full", kind=ErrorKind.TRANSIENT),
            Next(State.PENDING, LATER),
            ("pending", "full", "transient", 1, LATER, "failed", "transient", "250 Ok", "trace"),
        ),
        (
            TransportError("not us", kind=ErrorKind.CONFIGURATION),
            Next(State.PENDING, LATER, counted=False),
            ("pending", "not us", "configuration", 0, LATER, "failed", "configuration", "250 Ok", "trace"),
        ),
        (
            TransportError("gone", kind=ErrorKind.TRANSIENT, unknown=True),
            Next(State.FAILED),
            ("failed", "gone", "transient", 1, NOW, "unknown", "transient", "250 Ok", "trace"),
        ),
    ],
)
def test_all_that_an_outcome_says_is_kept(
    post: Post, fault: TransportError | None, then: Next, kept: tuple[object, ...]
) -> None:
    message = post.alert().message_id
    Message.objects.update(next_attempt_at=NOW)
    taken = claim(rooms={"realtime:email": 1}, now=NOW, lease=timedelta(minutes=1), worker="host:7:run")
    tried = Tried(NOW, LATER, "250 Ok", fault, "trace" if fault else "")

    assert rows_write([row_of(message, taken.token, tried, then)], worker="host:7:run \udc80") == {message}

    row, attempt = Message.objects.get(), Attempt.objects.get()
    assert kept == (
        row.state, row.reason, row.error_kind, row.attempts_made, row.next_attempt_at,
        attempt.outcome, attempt.error_kind, attempt.answer, attempt.traceback,
    )  # fmt: skip
    assert (attempt.started_at, attempt.ended_at, attempt.worker) == (NOW, LATER, "host:7:run ?")
    assert row.sent_at == (LATER if fault is None else None)
    assert not Lease.objects.exists()
