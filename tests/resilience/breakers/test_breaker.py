from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from prometheus_client import CollectorRegistry

from resilience.breakers.breaker import Breaker, BreakerOpen, RetryAfter
from resilience.breakers.group import Transition
from resilience.breakers.metrics import BreakerMetrics
from resilience.breakers.models import BreakerState, CircuitBreaker
from resilience.outcomes import Stopping

pytestmark = pytest.mark.django_db(transaction=True)
YEARS = timedelta(days=3650)


class World:
    """A clock, and breakers of one name as several processes would have them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.told: list[Transition] = []
        self.registry = CollectorRegistry()
        self.metrics = BreakerMetrics(prefix="x_", registry=self.registry)

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def later(self, seconds: float) -> None:
        """Time passes, for the database too."""
        self.seconds += seconds
        CircuitBreaker.objects.time_passes(timedelta(seconds=seconds))

    def waits(self) -> float:
        """Seconds until the probe is due."""
        due = CircuitBreaker.objects.get().probe_at
        assert due is not None
        return round((due - timezone.now()).total_seconds())

    def breaker(self, **options) -> Breaker:  # type: ignore[no-untyped-def]
        return Breaker(
            "slack",
            **{"threshold": 3, "retry_after": timedelta(seconds=30), "now": self.now} | options,
            announce=self.told.append,
            metrics=self.metrics,
            monotonic=lambda: self.seconds,
        )


@pytest.fixture
def world() -> World:
    return World()


def fail() -> None:
    raise ConnectionError("refused")


def fail_times(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            breaker.call(fail)


def state() -> str:
    return CircuitBreaker.objects.get().state


def test_a_call_that_goes_well_gives_its_value_and_writes_nothing(world: World) -> None:
    assert world.breaker().call(lambda: 7) == 7
    assert not CircuitBreaker.objects.exists()


def test_it_opens_at_the_threshold_and_then_refuses(world: World) -> None:
    breaker = world.breaker()
    fail_times(breaker, 3)

    with pytest.raises(BreakerOpen, match="ConnectionError: refused") as refused:
        breaker.call(lambda: 7)

    assert state() == "open"
    assert refused.value.next_try_at == CircuitBreaker.objects.get().probe_at
    assert world.waits() == 30


def test_failures_of_all_processes_count_together(world: World) -> None:
    several = [world.breaker() for _ in range(3)]

    for breaker in several:
        fail_times(breaker, 1)

    assert state() == "open"


def test_a_success_breaks_the_row_of_failures(world: World) -> None:
    breaker = world.breaker()
    fail_times(breaker, 2)
    breaker.call(lambda: 7)

    fail_times(breaker, 2)

    assert state() == "closed"


def test_failures_long_apart_do_not_open(world: World) -> None:
    breaker = world.breaker(window=timedelta(seconds=60))

    for _ in range(5):
        world.later(61)
        fail_times(breaker, 1)

    assert state() == "closed"


def test_another_process_hears_of_it_within_a_second(world: World) -> None:
    other = world.breaker()
    other.call(lambda: 7)
    fail_times(world.breaker(), 3)

    world.later(1)

    with pytest.raises(BreakerOpen):
        other.call(lambda: 7)


def test_closed_it_asks_the_database_once_a_second(world: World, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    breaker = world.breaker()

    with django_assert_num_queries(2):
        for _ in range(100):
            breaker.call(lambda: 7)
            world.seconds += 0.0199


def test_a_probe_that_goes_well_closes_it_for_all(world: World) -> None:
    breaker, other = world.breaker(), world.breaker()
    fail_times(breaker, 3)
    world.later(30)

    probe = breaker.admit()
    with pytest.raises(BreakerOpen):  # one at a time
        other.admit()
    breaker.succeeded(probe)

    assert probe is not None
    world.later(1)
    assert other.call(lambda: 7) == 7
    assert [one.state for one in world.told] == [BreakerState.OPEN, BreakerState.CLOSED]


def test_a_probe_that_fails_opens_it_again(world: World) -> None:
    breaker = world.breaker()
    fail_times(breaker, 3)
    world.later(30)

    fail_times(breaker, 1)

    with pytest.raises(BreakerOpen):
        breaker.call(lambda: 7)
    assert len(world.told) == 1


def test_a_host_whose_clock_is_ahead_waits_as_long_as_any_other(world: World) -> None:
    breaker, other = world.breaker(threshold=1), world.breaker(threshold=1, now=lambda: world.now() + YEARS)
    fail_times(breaker, 1)
    world.later(1)

    with pytest.raises(BreakerOpen):
        other.admit()
    world.later(29)

    assert other.admit() is not None


def test_a_host_whose_clock_is_ahead_leaves_the_probe_to_another_until_its_lease_ends(world: World) -> None:
    breaker, other = world.breaker(threshold=1), world.breaker(threshold=1, now=lambda: world.now() + YEARS)
    fail_times(breaker, 1)
    world.later(30)
    breaker.admit()
    world.later(50)

    with pytest.raises(BreakerOpen):
        other.admit()
    world.later(10)

    assert other.admit() is not None


def test_failures_count_together_however_far_the_clocks_of_their_hosts_are_apart(world: World) -> None:
    ahead, behind = world.breaker(now=lambda: world.now() + YEARS), world.breaker(now=lambda: world.now() - YEARS)

    for breaker in (ahead, behind, ahead):
        fail_times(breaker, 1)

    assert state() == "open"


def test_the_wait_may_differ_by_error(world: World) -> None:
    def wait(error: Exception) -> timedelta:
        return timedelta(seconds=60 if isinstance(error, PermissionError) else 15)

    def refuse() -> None:
        raise PermissionError("wrong password")

    breaker = world.breaker(threshold=1, retry_after=wait)

    with pytest.raises(PermissionError):
        breaker.call(refuse)

    assert world.waits() == 60


@pytest.mark.parametrize("text", ["421 busy\0", "not UTF-8: \udcff"])
def test_an_error_whose_text_the_database_refuses_opens_it_and_reaches_the_caller(world: World, text: str) -> None:
    def fail_so() -> None:
        raise ConnectionError(text)

    breaker = world.breaker(threshold=2)

    for _ in range(2):
        with pytest.raises(ConnectionError) as raised:
            breaker.call(fail_so)
        assert str(raised.value) == text

    assert state() == "open"


def raise_it(_: Exception) -> timedelta:
    raise ZeroDivisionError


@pytest.mark.parametrize("retry_after", [raise_it, lambda _: 30, lambda _: timedelta.max])
def test_a_wait_that_cannot_be_told_is_the_usual_one(world: World, retry_after: RetryAfter) -> None:
    breaker = world.breaker(threshold=1, retry_after=retry_after)

    fail_times(breaker, 1)

    assert world.waits() == 30
    labels = {"name": "slack", "operation": "retry_after"}
    assert world.registry.get_sample_value("x_breaker_faults_total", labels) == 1


def test_a_fault_of_the_breaker_does_not_replace_the_callers_error(world: World) -> None:
    def no_clock() -> datetime:
        raise ZeroDivisionError

    broken = Breaker("slack", threshold=1, metrics=world.metrics, now=no_clock)

    with pytest.raises(ConnectionError):
        broken.call(fail)

    labels = {"name": "slack", "operation": "failure"}
    assert world.registry.get_sample_value("x_breaker_faults_total", labels) == 1


def test_a_prober_that_is_told_to_stop_gives_its_probe_back(world: World) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    breaker = world.breaker(threshold=1)
    fail_times(breaker, 1)
    world.later(30)

    with pytest.raises(KeyboardInterrupt):
        breaker.call(stop)

    assert world.breaker().admit() is not None


def test_a_refusal_inside_the_work_gives_the_probe_back_and_counts_as_no_failure(world: World) -> None:
    def refused() -> None:
        raise Stopping("a hold was refused")

    breaker = world.breaker(threshold=1)
    with pytest.raises(Stopping):
        breaker.call(refused)
    unopened = not CircuitBreaker.objects.exists()
    fail_times(breaker, 1)
    world.later(30)

    with pytest.raises(Stopping):
        breaker.call(refused)

    assert unopened
    assert world.breaker().admit() is not None


def test_without_its_database_it_lets_all_through_and_counts_it(world: World) -> None:
    breaker = world.breaker(threshold=1)
    fail_times(breaker, 1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE resilience_circuitbreaker RENAME TO away")
    try:
        world.seconds += 1

        value = breaker.call(lambda: 7)
        fail_times(breaker, 1)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO resilience_circuitbreaker")

    assert value == 7
    labels = {"name": "slack", "operation": "read"}
    assert world.registry.get_sample_value("x_breaker_faults_total", labels) == 1


def test_a_threshold_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Breaker("x", threshold=0)
