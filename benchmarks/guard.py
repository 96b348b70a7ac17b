"""What guarding costs: microseconds a call, the guard beside tenacity and a bare call, and the breaker's share.

The breaker is closed and its row known, as nearly always; once a second the row is read, which the last case shows.
The breaker's table is made in a schema of its own, on disk as the real one, and dropped at the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from django.db import connection
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from benchmarks.frame import Case
from resilience.breakers.breaker import Breaker
from resilience.guard import Guard, Policy
from resilience.guard_metrics import GUARD_METRICS
from resilience.models import CircuitBreaker
from resilience.observers import GuardLog
from resilience.outcomes import Attempt

CALLS = 20_000
QUERIES = 2_000
NAME = "benchmark"


def cases() -> Iterator[Case]:
    """All in microseconds a call, which includes the loop around it (see the first case)."""
    with table():
        yield from _cases()


def _cases() -> Iterator[Case]:
    policy = Policy(expected=(OSError,), attempts=3, attempt_seconds=5, overall_seconds=30)
    tenacious = Retrying(
        retry=retry_if_exception_type(OSError), stop=stop_after_attempt(3), wait=wait_random_exponential(), reraise=True
    )
    bare = partial(each, lambda: work(None), CALLS)
    by_tenacity = partial(each, lambda: tenacious(work, None), CALLS)
    breaker = Breaker(NAME, refresh_seconds=3600)
    looking = Breaker(NAME, refresh_seconds=0)
    counted = (GUARD_METRICS, GuardLog())

    def guarded(guard: Guard) -> Callable[[], float]:
        return partial(each, lambda: guard.run(work), CALLS)

    yield Case("tenacity alone", "us/call", by_tenacity, "a bare call", bare)
    yield Case("guard, no observers", "us/call", guarded(Guard(NAME, policy, observers=())), "tenacity", by_tenacity)
    yield Case("guard, metrics and log", "us/call", guarded(Guard(NAME, policy)), "tenacity", by_tenacity)
    yield Case(
        "guard, breaker and limit too",
        "us/call",
        guarded(Guard(NAME, Policy(expected=(OSError,), attempts=3, limit=8), breaker=breaker, observers=counted)),
        "tenacity",
        by_tenacity,
    )
    yield Case("breaker, closed", "us/call", partial(each, lambda: breaker.call(nothing), CALLS), "a bare call", bare)
    yield Case("breaker, reads its row", "us/call", partial(each, lambda: looking.call(nothing), QUERIES))
    tripping = Breaker(f"{NAME}:trip", threshold=10**9, window=timedelta(days=1))
    yield Case("breaker, counts a failure", "us/call", partial(each, partial(fail, tripping), QUERIES // 4))


def work(_: Attempt | None) -> int:
    return 7


def nothing() -> int:
    return 7


def fail(breaker: Breaker) -> None:
    breaker.failed(OSError("refused"), breaker.admit())


def each(call: Callable[[], object], times: int) -> float:
    """Microseconds."""
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times * 1e6


@contextmanager
def table() -> Iterator[None]:
    schema = f"bench_guard_{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
        try:
            cursor.execute(f"SET search_path TO {schema}")
            with connection.schema_editor() as editor:
                editor.create_model(CircuitBreaker)
            yield
        finally:
            cursor.execute("RESET search_path")
            cursor.execute(f"DROP SCHEMA {schema} CASCADE")
