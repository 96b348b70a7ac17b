"""One breaker round calls. Closed, it costs a look at the clock; the row is read again every second.

    slack = Breaker("slack", threshold=5, retry_after=timedelta(seconds=30))
    slack.call(lambda: post(message))          # raises BreakerOpen without a call while it is open

Or as a guard's: `Guard("slack", breaker=slack)`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog

from resilience.breakers import rows
from resilience.breakers.group import LEASE, Breakers, Probe, Transition, nobody
from resilience.breakers.metrics import BREAKER_METRICS, BreakerMetrics
from resilience.breakers.models import BreakerState
from resilience.breakers.rows import Row
from resilience.errors import told
from resilience.outcomes import Rejected

log = structlog.get_logger(__name__)
T = TypeVar("T")

REFRESH_SECONDS = 1.0
# While the database is away, asking it can take seconds each time.
REFRESH_AFTER_FAULT_SECONDS = 5.0

RETRY_AFTER = timedelta(seconds=30)
LONGEST_WAIT = timedelta(days=365)
RetryAfter = timedelta | Callable[[Exception], timedelta]


class BreakerOpen(Rejected):
    """The call was not made: its breaker is open, or half-open and another process tries."""

    refusal = "breaker_open"

    def __init__(self, name: str, *, reason: str, next_try_at: datetime | None) -> None:
        super().__init__(f"the breaker {name!r} is open: {reason}")
        self.name = name
        self.reason = reason
        self.next_try_at = next_try_at


def utc_now() -> datetime:
    return datetime.now(UTC)


def _within_reason(wait: timedelta) -> timedelta:
    """Raises for what is no time, and for one that ends where the database's calendar does."""
    if wait > LONGEST_WAIT:
        raise ValueError(f"{wait} is longer than a breaker waits")
    return max(wait, timedelta(0))


class Breaker:
    """Opens after `threshold` failures in a row, of all processes together, none `window` after the one before.

    Then one process at a time may try, the first `retry_after` later (a time, or a function of the error); if that
    call goes well, all go. A probe whose process dies is over after `lease`. A success breaks the row of other
    processes' failures once it has seen them, which is within a second. May be shared by threads.
    """

    def __init__(
        self,
        name: str,
        *,
        threshold: int = 5,
        window: timedelta = timedelta(minutes=1),
        retry_after: RetryAfter = RETRY_AFTER,
        lease: timedelta = LEASE,
        announce: Callable[[Transition], object] = nobody,
        metrics: BreakerMetrics = BREAKER_METRICS,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        if threshold < 1:
            raise ValueError("a breaker's threshold is at least 1")
        self.name = name
        self._threshold, self._window, self._retry_after = threshold, window, retry_after
        self._group = Breakers("", announce=announce, lease=lease, metrics=metrics)
        self._metrics, self._now, self._monotonic = metrics, now, monotonic
        self._refresh_seconds = refresh_seconds
        self._seen = Row(name, BreakerState.CLOSED)
        self._fresh_until = -1.0  # monotonic

    def call(self, work: Callable[[], T]) -> T:
        """Runs `work` if it may; raises `BreakerOpen`, or what it raises. Every `Exception` counts as a failure, but
        for a `Rejected`: that speaks of something else that the work uses, or of a shutdown."""
        probe = self.admit()
        try:
            value = work()
        except Rejected:
            self.unused(probe)
            raise
        except Exception as error:
            self.failed(error, probe)
            raise
        except BaseException:
            self.unused(probe)
            raise
        self.succeeded(probe)
        return value

    def admit(self) -> Probe | None:
        """May one call be made? Raises `BreakerOpen` if not. Hand what it returns to `succeeded`, `failed` or `unused`.

        It is the probe if that call decides whether the breaker closes.
        """
        if self._monotonic() >= self._fresh_until:
            self._refresh()
        seen = self._seen
        if seen.state == BreakerState.CLOSED:
            return None
        if seen.due:
            for probe in self._group.probes_take(names=[self.name]):
                return probe
            self._fresh_until = -1.0  # somebody else has it, or it is closed: look again at the next call
        raise BreakerOpen(self.name, reason=seen.reason, next_try_at=seen.next_try_at)

    def succeeded(self, probe: Probe | None) -> None:
        """The call went well."""
        if probe is not None:
            self._group.probe_succeeded(probe, now=self._now())
            self._fresh_until = -1.0
        elif self._seen.failures:
            self._seen = Row(self.name, BreakerState.CLOSED)
            self._write("forget", lambda: rows.failures_forget(name=self.name))

    def failed(self, error: Exception, probe: Probe | None) -> None:
        """The call failed in a way that speaks against the other side. Never raises: the caller has its own error."""
        try:
            self._failed(error, probe)
        except Exception as fault:
            self._complain("failure", fault)

    def unused(self, probe: Probe | None) -> None:
        """The call was not made, or says nothing about the other side."""
        if probe is not None:
            self._group.probe_give_back(probe)
            self._fresh_until = -1.0

    def _failed(self, error: Exception, probe: Probe | None) -> None:
        if probe is None and self._failures() < self._threshold:
            return
        self._group.trip(self.name, reason=told(error), retry_after=self._wait(error), probe=probe, now=self._now())
        self._fresh_until = -1.0

    def _wait(self, error: Exception) -> timedelta:
        """A function of the caller's that fails, or says what is no time, keeps no breaker from opening."""
        try:
            asked = self._retry_after if isinstance(self._retry_after, timedelta) else self._retry_after(error)
            return _within_reason(asked)
        except Exception as fault:
            self._complain("retry_after", fault)
            return RETRY_AFTER

    def _complain(self, operation: str, fault: Exception) -> None:
        self._metrics.fault(self.name, operation)
        log.exception("breaker_failed", breaker=self.name, operation=operation, error=told(fault), exc_info=fault)

    def _refresh(self) -> None:
        """Look at the row. Other threads go on with what was seen last meanwhile, so that no lock is needed."""
        self._fresh_until = self._monotonic() + self._refresh_seconds
        try:
            found = rows.read(name=self.name)
        except rows.FAULTS as fault:
            self._metrics.fault(self.name, "read")
            log.warning("breaker_fails_open", breaker=self.name, operation="read", error=str(fault))
            rows.connection_mend()
            found = []
            self._fresh_until = self._monotonic() + REFRESH_AFTER_FAULT_SECONDS
        self._seen = found[0] if found else Row(self.name, BreakerState.CLOSED)
        self._metrics.state(self.name, self._seen.state)

    def _failures(self) -> int:
        """In a row, with the one just now."""
        if self._threshold == 1:
            return 1
        failures = 0

        def add() -> None:
            nonlocal failures
            failures = rows.failure_add(name=self.name, window=self._window)

        self._write("failure", add)
        if failures:
            self._seen = Row(self.name, BreakerState.CLOSED, failures=failures)
        return failures

    def _write(self, operation: str, work: Callable[[], None]) -> None:
        try:
            work()
        except rows.FAULTS as fault:
            self._metrics.fault(self.name, operation)
            log.warning("breaker_fails_open", breaker=self.name, operation=operation, error=str(fault))
            rows.connection_mend()
