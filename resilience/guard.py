"""The guard: one failing item never takes its neighbours down, and never fails in silence.

    GUARD = Guard("profiles", Policy(attempts=3, expected=(OSError,), attempt_seconds=5))
    outcome = GUARD.run(lambda attempt: fetch(timeout=attempt.remaining()))

It recovers every `Exception` and tells the expected ones (the policy names them) from programming errors, which are
panics. `KeyboardInterrupt` and `SystemExit`, among them django-q2's `TimeoutException`, are counted and pass.
"""

from __future__ import annotations

import random as random_of_this_process
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_base, stop_when_event_set

from resilience.guard_metrics import GUARD_METRICS
from resilience.observers import Audience, GuardLog, Observer, complain
from resilience.outcomes import (
    NO_DETAILS,
    Attempt,
    Attempted,
    DeadlinePassed,
    Ended,
    NoPlace,
    Outcome,
    Rejected,
    Stopping,
    Task,
)
from resilience.policy import Policy
from resilience.stops import LOOK_SECONDS, PolledStop, Stop

__all__ = [
    "Attempt",
    "DeadlinePassed",
    "Ended",
    "Guard",
    "NoPlace",
    "Outcome",
    "Policy",
    "PolledStop",
    "Rejected",
    "Stopping",
]

T = TypeVar("T")
ONCE = Policy()


class SharedBreaker(Protocol):
    """`resilience.breakers.breaker.Breaker`, or what behaves like it."""

    def admit(self) -> Any:
        """Raises a `Rejected` while it is open."""

    def succeeded(self, probe: Any) -> None: ...

    def failed(self, error: Exception, probe: Any) -> None: ...

    def unused(self, probe: Any) -> None: ...


class _CutShort(Exception):
    """A shutdown ended the wait for the next attempt."""


@dataclass(slots=True)
class _Run(Generic[T]):
    """One task on its way."""

    work: Callable[[Attempt], T]
    task: Task
    began: float
    until: float | None
    attempts: int = 0
    last: Attempted[T] | None = None


class _OverallDeadline(stop_base):
    """Begins no wait that would pass the run's end."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def __call__(self, retry_state: RetryCallState) -> bool:
        until = retry_state.args[0].until
        return until is not None and self._clock() + retry_state.upcoming_sleep >= until


class Guard:
    """Runs work under one policy. Make it once; threads may share it."""

    def __init__(
        self,
        name: str,
        policy: Policy = ONCE,
        *,
        labels: Mapping[str, object] = NO_DETAILS,
        breaker: SharedBreaker | None = None,
        stop: Stop | None = None,
        observers: Sequence[Observer] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        random: Callable[[], float] = random_of_this_process.random,
    ) -> None:
        """`observers`: by default `GUARD_METRICS` and `GuardLog()`. `sleep`: by default one that `stop` interrupts."""
        self.task = Task(name, {key: str(value) for key, value in labels.items()}, NO_DETAILS)
        told = (GUARD_METRICS, GuardLog()) if observers is None else observers
        for observer in told:
            observer.accepts(self.task)
        self._audience = Audience(told)
        self._policy, self._breaker, self._clock, self._random = policy, breaker, clock, random
        # A refusal of something that the work uses is no fault of ours.
        self._expected: tuple[type[Exception], ...] = (Rejected, *policy.expected)
        self._stop: Stop = stop or threading.Event()
        self._sleep = sleep or sleep_using_event(cast(threading.Event, self._stop))
        self._places = None if policy.limit is None else threading.BoundedSemaphore(policy.limit)
        self._ceiling = wait_exponential(
            multiplier=policy.backoff_first, exp_base=policy.backoff_factor, max=policy.backoff_most
        )
        self._retrying = Retrying(
            retry=retry_if_result(self._again),
            wait=self._wait,
            stop=stop_after_attempt(policy.attempts)
            | stop_when_event_set(cast(threading.Event, self._stop))
            | _OverallDeadline(clock),
            before_sleep=self._before_sleep,
            sleep=self._pause,
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )

    def run(self, work: Callable[[Attempt], T], *, details: Mapping[str, Any] = NO_DETAILS) -> Outcome[T]:
        """Runs `work` as the policy says and returns how it ended. `details` go to the log."""
        task = self.task if details is NO_DETAILS else Task(self.task.name, self.task.labels, details)
        began, overall = self._clock(), self._policy.overall_seconds
        run = _Run(work, task, began, None if overall is None else began + overall)
        try:
            self._retrying(self._try, run)
        except _CutShort:
            pass  # what the last attempt left is the outcome
        except BaseException as error:
            self._audience.tell("interrupted", task, error)
            raise
        outcome = self._outcome(run)
        self._audience.tell("finished", task, outcome)
        return outcome

    def _outcome(self, run: _Run[T]) -> Outcome[T]:
        last = run.last
        assert last is not None
        return Outcome(
            ended=last.ended,
            value=last.value,
            error=last.error,
            attempts=run.attempts,
            seconds=self._clock() - run.began,
            cut_short=self._again(last) and run.attempts < self._policy.attempts and self._stop.is_set(),
        )

    # One attempt

    def _try(self, run: _Run[T]) -> Attempted[T]:
        """An attempt, or the refusal to begin one. A refusal after attempts leaves the outcome to the last of them."""
        try:
            attempted = self._admitted(run)
        except Rejected as refusal:
            attempted = Attempted(Ended.REJECTED, error=refusal)
            if run.last is not None:
                return attempted
        run.last = attempted
        return attempted

    def _admitted(self, run: _Run[T]) -> Attempted[T]:
        if self._stop.is_set():
            raise Stopping("a shutdown has begun")
        if self._places is None:
            return self._under_breaker(run)
        self._place_take(self._places, run)
        try:
            return self._under_breaker(run)
        finally:
            self._places.release()

    def _place_take(self, places: threading.BoundedSemaphore, run: _Run[T]) -> None:
        if places.acquire(blocking=False):
            return
        patience = self._policy.limit_wait_seconds
        ends = [end for end in (run.until, None if patience is None else self._clock() + patience) if end is not None]
        self._audience.tell("pending", run.task, 1)
        try:
            while not places.acquire(timeout=LOOK_SECONDS):
                if self._stop.is_set():
                    raise Stopping("a shutdown has begun")
                if ends and self._clock() >= min(ends):
                    raise NoPlace(f"{self._policy.limit} run already")
        finally:
            self._audience.tell("pending", run.task, -1)

    def _under_breaker(self, run: _Run[T]) -> Attempted[T]:
        if self._breaker is None:
            return self._attempt(run)
        probe = self._admit(self._breaker)
        attempted = None
        try:
            attempted = self._attempt(run)
        finally:
            self._tell_breaker(self._breaker, probe, attempted)
        return attempted

    def _admit(self, breaker: SharedBreaker) -> Any:
        try:
            return breaker.admit()
        except Rejected:
            raise
        except Exception as fault:  # a breaker that is broken must not stop what it protects
            complain(self.task.name, "breaker", fault)
            return None

    def _tell_breaker(self, breaker: SharedBreaker, probe: Any, attempted: Attempted[T] | None) -> None:
        """An error of our own code, a refusal, or being told to stop says nothing about the other side."""
        try:
            if attempted is None or attempted.ended is Ended.PANIC or attempted.refused:
                breaker.unused(probe)
            elif attempted.error is None:
                breaker.succeeded(probe)
            else:
                breaker.failed(attempted.error, probe)
        except Exception as fault:
            complain(self.task.name, "breaker", fault)

    def _attempt(self, run: _Run[T]) -> Attempted[T]:
        run.attempts += 1
        attempt = self._attempt_begin(run)
        self._audience.tell("started", run.task, attempt)
        attempted = None
        try:
            attempted = self._judge(run, attempt)
        finally:
            self._audience.tell("ended", run.task, attempt, attempted)
        return attempted

    def _attempt_begin(self, run: _Run[T]) -> Attempt:
        own = self._policy.attempt_seconds
        ends = [end for end in (run.until, None if own is None else self._clock() + own) if end is not None]
        return Attempt(run.attempts, min(ends) if ends else None, self._clock)

    def _judge(self, run: _Run[T], attempt: Attempt) -> Attempted[T]:
        """Runs the work, and says what its end is worth."""
        began = self._clock()
        value: T | None = None
        error: Exception | None = None
        ended = Ended.SUCCESS
        try:
            value = run.work(attempt)
        except TimeoutError as fault:
            error, ended = fault, Ended.TIMEOUT
        except self._expected as fault:
            error, ended = fault, Ended.FAILURE
        except Exception as fault:
            error, ended = fault, Ended.PANIC
        seconds = self._clock() - began
        overran = attempt.deadline is not None and self._clock() > attempt.deadline
        if overran and ended is Ended.SUCCESS and not self._policy.keep_late:
            late = DeadlinePassed(f"it came back after {seconds:.3f} s, past its deadline")
            return Attempted(Ended.TIMEOUT, None, late, seconds, overran)
        return Attempted(ended, value, error, seconds, overran)

    # Between attempts: called by tenacity

    def _again(self, attempted: Attempted[Any]) -> bool:
        if attempted.refused:  # whatever refused it says when it may be tried: a breaker, a shutdown
            return False
        if attempted.ended is Ended.PANIC:
            return self._policy.retry_panics
        return attempted.ended in (Ended.FAILURE, Ended.TIMEOUT)

    def _wait(self, state: RetryCallState) -> float:
        """tenacity's exponent neither overflows nor passes the cap."""
        return self._ceiling(state) * (1 - self._policy.jitter * self._random())

    def _before_sleep(self, state: RetryCallState) -> None:
        run = state.args[0]
        self._audience.tell("retrying", run.task, run.last, state.upcoming_sleep)

    def _pause(self, seconds: float) -> None:
        self._sleep(seconds)
        if self._stop.is_set():
            raise _CutShort
