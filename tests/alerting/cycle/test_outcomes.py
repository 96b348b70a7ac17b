"""What becomes of a message after a fault: the retry ladder, without a database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerting.cycle.context import REALTIME, CycleContext
from alerting.cycle.outcomes import after_fault, storable
from alerting.cycle.ways_out import probe_after
from alerting.models import ErrorKind, State
from alerting.transports import TransportError
from tests.alerting.world import NOW


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
