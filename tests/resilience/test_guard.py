"""The guard. The tests that begin with `test_sentinel_` would each show a fault that was measured in go-sentinel."""

from __future__ import annotations

import gc
import itertools
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django_q.exceptions import TimeoutException
from prometheus_client import CollectorRegistry

from resilience import incidents
from resilience.guard import Attempt, DeadlinePassed, Ended, Guard, NoPlace, Policy, PolledStop, Rejected, Stopping
from resilience.guard_metrics import GuardMetrics
from resilience.observers import OBSERVER_FAULTS, GuardLog, Observer
from resilience.outcomes import Attempted, Outcome, Task
from resilience.reports import Report


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    made: list[Report] = []
    monkeypatch.setattr(incidents.recorder, "submit", made.append)
    return made


class World:
    """A guard with its own metrics, and a clock that only moves when something takes time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []
        self.registry = CollectorRegistry()
        self.metrics = GuardMetrics(prefix="", registry=self.registry, wall_clock=lambda: 1_000.0 + self.seconds)
        self.stop = threading.Event()

    def takes(self, seconds: float) -> None:
        self.seconds += seconds

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds

    def guard(self, *, observers: tuple[Observer, ...] = (), **policy: Any) -> Guard:
        options = {"expected": (LookupError,), "jitter": 0.0, "backoff_first": 1.0} | policy
        given = {name: options.pop(name) for name in ("breaker", "random") if name in options}
        return Guard(
            "item",
            Policy(**options),
            stop=self.stop,
            observers=(self.metrics, GuardLog(), *observers),
            clock=lambda: self.seconds,
            sleep=self.sleep,
            **given,
        )

    def counted(self, metric: str, **labels: str) -> float:
        return self.registry.get_sample_value(metric, {"name": "item", **labels}) or 0.0

    def counts(self) -> dict[str, float]:
        names = ("success", "failures", "errors", "panics", "timeouts", "retries", "overruns", "interruptions")
        return {name: number for name in names if (number := self.counted(f"{name}_total"))}


@pytest.fixture
def world() -> World:
    return World()


def missing(_: Attempt) -> None:
    raise LookupError("nil profile")


def broken(_: Attempt) -> None:
    raise ZeroDivisionError("our own fault")


def failing(times: int, then: object = 7, error: type[Exception] = LookupError) -> Callable[[Attempt], object]:
    def work(attempt: Attempt) -> object:
        if attempt.number <= times:
            raise error(f"attempt {attempt.number}")
        return then

    return work


# How work ends


def test_success_gives_the_value(world: World) -> None:
    outcome = world.guard().run(lambda _: 7)

    assert (outcome.succeeded, outcome.value, outcome.attempts) == (True, 7, 1)
    assert world.counts() == {"success": 1}
    assert world.counted("last_success_timestamp_seconds") == 1_000
    assert world.counted("durations_seconds_count") == 1


def test_an_expected_error_is_a_failure_and_no_incident(world: World, reports: list[Report]) -> None:
    outcome = world.guard().run(missing)

    assert outcome.ended is Ended.FAILURE
    assert reports == []
    assert world.counts() == {"failures": 1, "errors": 1}


def test_a_programming_error_is_a_panic_and_an_incident_with_traceback(reports: list[Report]) -> None:
    guard = Guard("cycle", observers=(GuardLog(panic_event="panic_in_send_cycle"),))

    outcome = guard.run(broken, details={"message": 5, "event": "clash"})

    assert outcome.ended is Ended.PANIC
    assert [report.kind for report in reports] == ["panic_in_send_cycle"]
    assert "in broken" in reports[0].traceback
    assert '"message": 5' in reports[0].sample


def hung(_: Attempt) -> None:
    raise TimeoutError("no answer")


@pytest.mark.parametrize("work", [missing, hung])
def test_a_failure_is_an_incident_with_traceback_where_its_level_says_so(
    reports: list[Report], work: Callable[[Attempt], None]
) -> None:
    log = GuardLog(failure_event="step_failed", failure_level=logging.ERROR)
    guard = Guard("step", Policy(expected=(LookupError,), attempts=2, backoff_first=0.001), observers=(log,))

    guard.run(work)

    assert [report.kind for report in reports] == ["step_failed"]
    assert f"in {work.__name__}" in reports[0].traceback


def test_a_time_out_is_a_warning_and_no_incident_by_default(reports: list[Report]) -> None:
    Guard("step", observers=(GuardLog(),)).run(hung)

    assert reports == []


def test_panics_and_expected_errors_are_counted_apart(world: World, reports: list[Report]) -> None:
    guard = world.guard()

    guard.run(missing)
    guard.run(broken)

    assert world.counts() == {"failures": 2, "errors": 2, "panics": 1}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, TimeoutException])
def test_being_told_to_stop_passes_and_is_counted(world: World, stop: type[BaseException]) -> None:
    def work(_: Attempt) -> None:
        raise stop

    with pytest.raises(stop):
        world.guard(attempts=3).run(work)

    assert world.counts() == {"interruptions": 1}
    assert world.counted("in_flight") == 0


def test_memory_and_recursion_errors_are_recovered(world: World, reports: list[Report]) -> None:
    def deep(attempt: Attempt) -> None:
        deep(attempt)

    limit = sys.getrecursionlimit()
    with no_collection():
        outcome = world.guard().run(deep)

    assert outcome.ended is Ended.PANIC
    assert sys.getrecursionlimit() == limit


@contextmanager
def no_collection() -> Iterator[None]:
    """At the bottom of a recursion there is no room for what others left behind: a queue of processes that cannot tell
    its thread of its end keeps the interpreter from ending."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_an_error_that_cannot_be_shown_is_recovered(world: World, reports: list[Report]) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def work(_: Attempt) -> None:
        raise Unspeakable

    outcome = world.guard().run(work)

    assert outcome.ended is Ended.PANIC


# Retries


def test_a_task_that_succeeds_at_the_third_attempt_is_one_success(world: World) -> None:
    outcome = world.guard(attempts=3).run(failing(2))

    assert (outcome.value, outcome.attempts) == (7, 3)
    assert world.counts() == {"success": 1, "errors": 2, "retries": 2}
    assert world.counted("durations_seconds_count") == 3


def test_a_task_that_never_succeeds_is_one_failure(world: World) -> None:
    outcome = world.guard(attempts=3).run(missing)

    assert outcome.ended is Ended.FAILURE
    assert world.counts() == {"failures": 1, "errors": 3, "retries": 2}


def test_a_panic_is_not_tried_again_unless_the_policy_says_so(world: World, reports: list[Report]) -> None:
    once = world.guard(attempts=3).run(broken)
    thrice = world.guard(attempts=3, retry_panics=True).run(broken)

    assert (once.attempts, thrice.attempts) == (1, 3)


def test_waits_grow_up_to_the_cap(world: World) -> None:
    world.guard(attempts=6, backoff_first=1.0, backoff_factor=3.0, backoff_most=20.0).run(missing)

    assert world.waits == [1, 3, 9, 20, 20]


def test_sentinel_a_backoff_never_overflows_into_a_hot_loop(world: World) -> None:
    world.guard(attempts=3_000, backoff_first=0.001, backoff_factor=10.0, backoff_most=60.0).run(missing)

    assert world.waits == sorted(world.waits)
    assert world.waits[-1] == 60


def test_jitter_spreads_each_wait_below_its_ceiling(world: World) -> None:
    world.guard(attempts=200, jitter=0.5, backoff_most=4.0, random=random.Random(1).random).run(missing)

    late = world.waits[10:]
    assert 2.0 <= min(late) < 2.2
    assert 3.8 < max(late) <= 4.0


# Shutdown


def test_sentinel_work_refused_by_a_shutdown_is_rejected_and_never_a_success(world: World) -> None:
    world.stop.set()
    ran: list[int] = []

    outcome = world.guard().run(lambda attempt: ran.append(attempt.number))

    assert (ran, outcome.ended, outcome.succeeded) == ([], Ended.REJECTED, False)
    assert isinstance(outcome.error, Stopping)
    assert world.counted("rejected_total", why="stopping") == 1
    assert world.counts() == {}


def test_sentinel_a_shutdown_between_attempts_is_a_failure_and_never_a_success(world: World) -> None:
    def work(attempt: Attempt) -> None:
        world.stop.set()
        raise LookupError

    outcome = world.guard(attempts=5).run(work)

    assert (outcome.ended, outcome.attempts, outcome.cut_short) == (Ended.FAILURE, 1, True)
    assert world.counts() == {"failures": 1, "errors": 1}


def test_sentinel_a_shutdown_ends_no_backoff_by_sleeping_it(world: World) -> None:
    def work(attempt: Attempt) -> None:
        world.stop.set()
        raise LookupError

    world.guard(attempts=5).run(work)

    assert world.waits == []


@pytest.mark.parametrize("kind", ["event", "polled"])
def test_a_shutdown_ends_a_backoff_at_once_and_no_attempt_follows(kind: str) -> None:
    event = threading.Event()
    guard = Guard(
        "slow",
        Policy(expected=(LookupError,), attempts=3, backoff_first=30, jitter=0),
        stop=event if kind == "event" else PolledStop(event.is_set),
        observers=(),
    )
    threading.Timer(0.2, event.set).start()
    began = time.monotonic()

    outcome = guard.run(missing)

    assert time.monotonic() - began < 10
    assert (outcome.ended, outcome.attempts, outcome.cut_short) == (Ended.FAILURE, 1, True)


# Deadlines


def test_the_work_gets_its_deadline(world: World) -> None:
    def work(attempt: Attempt) -> float:
        world.takes(2)
        return attempt.remaining()

    assert world.guard(attempt_seconds=5).run(work).value == 3


def test_sentinel_each_attempt_has_a_deadline_of_its_own(world: World) -> None:
    left: list[float] = []

    def work(attempt: Attempt) -> None:
        left.append(attempt.remaining())
        world.takes(4)
        raise LookupError

    world.guard(attempts=3, attempt_seconds=5).run(work)

    assert left == [5, 5, 5]


def test_the_overall_deadline_shortens_the_last_attempts_and_begins_no_wait_past_it(world: World) -> None:
    left: list[float] = []

    def work(attempt: Attempt) -> None:
        left.append(attempt.remaining())
        world.takes(4)
        raise LookupError

    outcome = world.guard(attempts=9, attempt_seconds=5, overall_seconds=11).run(work)

    assert left == [5, 5]  # 4 s, 1 s wait, 4 s: another wait of 2 s would end at 11
    assert (outcome.attempts, outcome.cut_short) == (2, False)


def test_sentinel_a_result_after_the_deadline_is_a_time_out_and_an_overrun(world: World) -> None:
    outcome = world.guard(attempt_seconds=5).run(lambda _: world.takes(6))

    assert outcome.ended is Ended.TIMEOUT
    assert isinstance(outcome.error, DeadlinePassed)
    assert world.counts() == {"failures": 1, "errors": 1, "timeouts": 1, "overruns": 1}


def test_a_result_after_the_deadline_is_kept_where_the_policy_says_so(world: World) -> None:
    def work(_: Attempt) -> int:
        world.takes(6)
        return 7

    outcome = world.guard(attempt_seconds=5, keep_late=True).run(work)

    assert outcome.value == 7
    assert world.counts() == {"success": 1, "overruns": 1}


def test_an_error_after_the_deadline_keeps_its_kind_and_is_an_overrun(world: World) -> None:
    def work(_: Attempt) -> None:
        world.takes(6)
        raise LookupError

    outcome = world.guard(attempt_seconds=5).run(work)

    assert outcome.ended is Ended.FAILURE
    assert world.counts() == {"failures": 1, "errors": 1, "overruns": 1}


def test_a_timeout_error_of_the_work_is_a_time_out_and_tried_again(world: World, reports: list[Report]) -> None:
    outcome = world.guard(attempts=2).run(failing(1, error=TimeoutError))

    assert outcome.succeeded
    assert world.counts() == {"success": 1, "errors": 1, "timeouts": 1, "retries": 1}
    assert reports == []


def test_work_in_steps_can_end_itself_at_its_deadline(world: World) -> None:
    done: list[int] = []

    def work(attempt: Attempt) -> None:
        for step in range(10):
            attempt.check()
            done.append(step)
            world.takes(2)

    outcome = world.guard(attempt_seconds=5).run(work)

    assert (outcome.ended, done) == (Ended.TIMEOUT, [0, 1, 2])


# The limit


class Crowd:
    """Threads that run guarded work until they are let go."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.go, self.most, self.now = threading.Event(), 0, 0
        self.lock = threading.Lock()
        self.outcomes: list[Outcome[None]] = []

    def work(self, _: Attempt) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.go.wait(10)
        with self.lock:
            self.now -= 1

    def start(self, threads: int) -> list[threading.Thread]:
        several = [
            threading.Thread(target=lambda: self.outcomes.append(self.guard.run(self.work))) for _ in range(threads)
        ]
        for one in several:
            one.start()
        return several


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_no_more_than_the_limit_run_at_once_and_the_others_are_pending(world: World) -> None:
    crowd = Crowd(world.guard(limit=2))
    threads = crowd.start(5)
    until(lambda: world.counted("pending") == 3)

    in_flight = world.counted("in_flight")
    crowd.go.set()
    for thread in threads:
        thread.join(5)

    assert (crowd.most, in_flight) == (2, 2)
    assert [one.ended for one in crowd.outcomes] == [Ended.SUCCESS] * 5
    assert (world.counted("pending"), world.counted("in_flight")) == (0, 0)


def test_a_task_that_finds_no_place_in_time_is_rejected() -> None:
    guard = Guard("full", Policy(limit=1, limit_wait_seconds=0.1), observers=())
    crowd = Crowd(guard)
    threads = crowd.start(1)
    until(lambda: crowd.now == 1)

    outcome = guard.run(lambda _: None)
    crowd.go.set()
    threads[0].join(5)

    assert isinstance(outcome.error, NoPlace)
    assert outcome.ended is Ended.REJECTED


def test_a_shutdown_ends_the_wait_for_a_place(world: World) -> None:
    guard = world.guard(limit=1)
    crowd = Crowd(guard)
    threads = crowd.start(1)
    until(lambda: crowd.now == 1)
    threads += crowd.start(1)
    until(lambda: world.counted("pending") == 1)

    world.stop.set()
    until(lambda: len(crowd.outcomes) == 1)
    crowd.go.set()
    for thread in threads:
        thread.join(5)

    assert isinstance(crowd.outcomes[0].error, Stopping)
    assert world.counted("rejected_total", why="stopping") == 1


def test_a_guard_may_run_inside_itself_and_in_threads_at_once(world: World) -> None:
    guard = world.guard(attempts=2)

    def work(attempt: Attempt) -> object:
        if attempt.number == 1:
            raise LookupError
        return guard.run(failing(1, then="inner")).value

    outcome = guard.run(work)

    assert outcome.value == "inner"
    assert world.counts() == {"success": 2, "errors": 2, "retries": 2}


# The breaker


class Shut(Rejected):
    refusal = "breaker_open"


class FakeBreaker:
    """Refuses from a given call on, and keeps what it is told."""

    def __init__(self, *, refuse_from: int = 99, fault: Exception | None = None) -> None:
        self.refuse_from, self.fault = refuse_from, fault
        self.asked = 0
        self.told: list[str] = []

    def admit(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        if self.asked >= self.refuse_from:
            raise Shut("open")

    def succeeded(self, probe: None) -> None:
        self.told.append("succeeded")

    def failed(self, error: Exception, probe: None) -> None:
        self.told.append("failed")

    def unused(self, probe: None) -> None:
        self.told.append("unused")


def test_an_open_breaker_rejects_the_task(world: World) -> None:
    outcome = world.guard(breaker=FakeBreaker(refuse_from=1), attempts=3).run(lambda _: 7)

    assert (outcome.ended, outcome.attempts) == (Ended.REJECTED, 0)
    assert world.counted("rejected_total", why="breaker_open") == 1
    assert world.counts() == {}


def test_a_breaker_that_opens_between_attempts_leaves_the_task_failed(world: World) -> None:
    outcome = world.guard(breaker=FakeBreaker(refuse_from=3), attempts=5).run(missing)

    assert (outcome.ended, outcome.attempts) == (Ended.FAILURE, 2)
    assert world.counts() == {"failures": 1, "errors": 2, "retries": 1}


def test_the_breaker_hears_of_failures_but_not_of_our_own_faults(world: World, reports: list[Report]) -> None:
    breaker = FakeBreaker()
    guard = world.guard(breaker=breaker, attempt_seconds=5)

    guard.run(lambda _: 7)
    guard.run(missing)
    guard.run(lambda _: world.takes(6))
    guard.run(broken)
    with pytest.raises(SystemExit):
        guard.run(lambda _: sys.exit(1))

    assert breaker.told == ["succeeded", "failed", "failed", "unused", "unused"]


def test_a_breaker_that_is_broken_itself_does_not_stop_the_work(world: World, reports: list[Report]) -> None:
    outcome = world.guard(breaker=FakeBreaker(fault=RuntimeError("no row"))).run(lambda _: 7)

    assert outcome.value == 7
    assert [report.kind for report in reports] == ["guard_observer_failed"]


def refused(_: Attempt) -> None:
    raise Shut("the breaker of something that the work uses")


def stopped(_: Attempt) -> None:
    raise Stopping("a hold was refused")


def test_a_refusal_inside_the_work_is_a_failure_and_no_panic(world: World, reports: list[Report]) -> None:
    outcome = world.guard().run(refused)

    assert outcome.ended is Ended.FAILURE
    assert reports == []


@pytest.mark.parametrize("work", [refused, stopped])
def test_a_refusal_inside_the_work_is_not_tried_again(world: World, work: Callable[[Attempt], None]) -> None:
    outcome = world.guard(attempts=3, retry_panics=True).run(work)

    assert (outcome.ended, outcome.attempts) == (Ended.FAILURE, 1)
    assert world.waits == []


@pytest.mark.parametrize("work", [refused, stopped])
def test_a_refusal_inside_the_work_is_no_failure_of_the_other_side(
    world: World, work: Callable[[Attempt], None]
) -> None:
    breaker = FakeBreaker()

    world.guard(breaker=breaker).run(work)

    assert breaker.told == ["unused"]


# Labels and observers


def test_sentinel_label_values_are_never_swapped() -> None:
    names = ("cadence", "kind", "organisation", "zone")
    for turn, order in enumerate(itertools.permutations(names)):
        registry = CollectorRegistry()
        metrics = GuardMetrics(prefix="", labels=order, registry=registry)
        values = {name: f"{name}-{turn}" for name in random.Random(turn).sample(names, len(names))}

        Guard("labelled", labels=values, observers=(metrics,)).run(lambda _: None)

        assert registry.get_sample_value("success_total", {"name": "labelled", **values}) == 1


@pytest.mark.parametrize("labels", [{}, {"kind": "a", "colour": "b"}, {"colour": "b"}])
def test_labels_that_do_not_fit_are_refused_when_the_guard_is_made(labels: dict[str, str]) -> None:
    metrics = GuardMetrics(prefix="", labels=("kind",), registry=CollectorRegistry())

    with pytest.raises(ValueError, match="its metrics want: kind"):
        Guard("item", labels=labels, observers=(metrics,))


class Diary(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, task: Task, attempt: Attempt) -> None:
        self.lines.append(f"started {attempt.number}")

    def ended(self, task: Task, attempt: Attempt, attempted: Attempted[Any] | None) -> None:
        self.lines.append(f"ended {attempted.ended if attempted else 'interrupted'}")

    def retrying(self, task: Task, attempted: Attempted[Any], seconds: float) -> None:
        self.lines.append(f"retrying in {seconds:.0f}")

    def finished(self, task: Task, outcome: Outcome[Any]) -> None:
        self.lines.append(f"finished {outcome.ended}")


class Faulty(Observer):
    """Raises whatever it is told."""

    def started(self, task: Task, attempt: Attempt) -> None:
        raise RuntimeError("started")

    def ended(self, task: Task, attempt: Attempt, attempted: Attempted[Any] | None) -> None:
        raise RuntimeError("ended")

    def finished(self, task: Task, outcome: Outcome[Any]) -> None:
        raise RuntimeError("finished")


def test_several_observers_hear_the_same_in_order(world: World) -> None:
    first, second = Diary(), Diary()

    world.guard(observers=(first, second), attempts=2).run(failing(1))

    assert first.lines == second.lines
    assert first.lines == [
        "started 1",
        "ended failure",
        "retrying in 1",
        "started 2",
        "ended success",
        "finished success",
    ]


def test_an_observer_that_raises_disturbs_neither_the_work_nor_the_others(world: World, reports: list[Report]) -> None:
    diary = Diary()
    before = OBSERVER_FAULTS.labels(name="item", observer="Faulty")._value.get()

    outcome = world.guard(observers=(Faulty(), diary)).run(lambda _: 7)

    assert outcome.value == 7
    assert diary.lines == ["started 1", "ended success", "finished success"]
    assert OBSERVER_FAULTS.labels(name="item", observer="Faulty")._value.get() == before + 3
    assert {report.kind for report in reports} == {"guard_observer_failed"}


@pytest.mark.parametrize(
    "policy",
    [
        {"attempts": 0},
        {"limit": 0},
        {"backoff_first": 0},
        {"backoff_factor": 0.5},
        {"jitter": 1.5},
        {"attempt_seconds": 0},
        {"overall_seconds": -1},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Policy(**policy)
