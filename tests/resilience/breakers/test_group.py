from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from prometheus_client import CollectorRegistry

from resilience.breakers.group import Breakers, Probe, Transition
from resilience.breakers.metrics import BreakerMetrics
from resilience.breakers.models import BreakerState, CircuitBreaker

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def lease_ends() -> None:
    """As if the prober had been killed a lease ago, by the database's clock."""
    CircuitBreaker.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


class World:
    """A family of breakers that keeps what it was told and counted."""

    def __init__(self, prefix: str = "transport:") -> None:
        self.registry = CollectorRegistry()
        self.told: list[Transition] = []
        self.breakers = Breakers(
            prefix, announce=self.told.append, metrics=BreakerMetrics(prefix="x_", registry=self.registry)
        )

    def trip(self, name: str = "email", *, at: datetime = NOW, probe=None, wait: float = 15, reason="421 busy"):  # type: ignore[no-untyped-def]
        return self.breakers.trip(name, reason=reason, retry_after=timedelta(seconds=wait), probe=probe, now=at)

    def probes(self, *, after: float = 0, names: Sequence[str] | None = None) -> list[Probe]:
        """Those that can be taken when so many seconds have passed."""
        CircuitBreaker.objects.time_passes(timedelta(seconds=after))
        return self.breakers.probes_take(names=names)

    def counted(self, metric: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"x_{metric}", labels) or 0.0


@pytest.fixture
def world() -> World:
    return World()


def test_what_never_tripped_is_closed(world: World) -> None:
    assert world.breakers.names_open() == frozenset()
    assert world.probes() == []


def test_a_trip_opens_only_its_own_name_and_family(world: World) -> None:
    World("other:").trip("email")

    world.trip("email")

    assert world.breakers.names_open() == {"email"}
    assert CircuitBreaker.objects.shut().count() == 2


def test_the_names_that_are_open_cost_one_query(world: World, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    world.trip("email")
    world.trip("slack")

    with django_assert_num_queries(1):
        names = world.breakers.names_open()

    assert names == {"email", "slack"}


def test_only_the_first_trip_is_an_opening_and_is_announced(world: World) -> None:
    begun = [world.trip(at=later(second)) for second in range(3)]

    assert begun == [True, False, False]
    assert world.told == [Transition("email", BreakerState.OPEN, "421 busy", NOW)]
    assert world.counted("breaker_transitions_total", name="transport:email", state="open") == 1


def test_the_wait_differs_by_what_the_caller_says(world: World) -> None:
    world.trip("email", wait=60)
    world.trip("slack", wait=15)

    assert [probe.name for probe in world.probes(after=15)] == ["slack"]
    assert [probe.name for probe in world.probes(after=45)] == ["email"]


def test_a_probe_goes_to_one_and_stays_the_only_one_until_its_lease_ends(world: World) -> None:
    world.trip()

    (probe,) = world.probes(after=15)

    assert world.probes(after=1) == []
    assert world.breakers.names_open() == {"email"}
    lease_ends()
    (second,) = world.probes(after=1)
    assert second.token != probe.token


def test_a_probe_that_succeeds_closes(world: World) -> None:
    world.trip()
    (probe,) = world.probes(after=15)

    closed = world.breakers.probe_succeeded(probe, now=later(16))

    assert closed
    assert world.breakers.names_open() == frozenset()
    assert world.told[-1] == Transition("email", BreakerState.CLOSED, "", later(16))
    assert world.trip(at=later(17))  # a new opening


def test_a_probe_that_fails_waits_again_and_is_no_new_opening(world: World) -> None:
    world.trip()
    (probe,) = world.probes(after=15)

    begun = world.trip(at=later(16), probe=probe, wait=60, reason="535 no")

    assert not begun
    assert world.probes(after=50) == []
    assert len(world.probes(after=10)) == 1
    assert len(world.told) == 1
    assert CircuitBreaker.objects.get().reason == "535 no"


def test_a_probe_given_back_is_there_for_the_next_at_once(world: World) -> None:
    world.trip()
    (probe,) = world.probes(after=15)

    given = world.breakers.probe_give_back(probe)

    assert given
    assert len(world.probes()) == 1


def test_a_late_failure_of_another_call_does_not_disturb_the_probe(world: World) -> None:
    world.trip()
    (probe,) = world.probes(after=15)

    world.trip(at=later(16))  # a straggler from before

    assert world.breakers.probe_succeeded(probe, now=later(17))


def test_a_prober_whose_lease_went_to_another_changes_nothing(world: World) -> None:
    late, current = two_probers(world)

    assert not world.breakers.probe_succeeded(late, now=later(17))
    assert not world.breakers.probe_give_back(late)
    assert not world.trip(at=later(17), probe=late)
    assert world.breakers.probe_succeeded(current, now=later(18))


def test_a_late_probers_failure_does_not_open_what_another_closed(world: World) -> None:
    late, current = two_probers(world)
    world.breakers.probe_succeeded(current, now=later(17))

    begun = world.trip(at=later(100), probe=late, reason="timed out")

    assert not begun
    assert world.breakers.names_open() == frozenset()
    assert [change.state for change in world.told] == [BreakerState.OPEN, BreakerState.CLOSED]


def test_a_late_probers_failure_does_not_lengthen_the_wait_that_another_began(world: World) -> None:
    late, current = two_probers(world)
    world.trip(at=later(17), probe=current, wait=60, reason="535 no")
    CircuitBreaker.objects.time_passes(timedelta(seconds=53))

    world.trip(at=later(70), probe=late, wait=60, reason="timed out")

    assert world.breakers.rows()[0].reason == "535 no"
    assert len(world.probes(after=7)) == 1


def two_probers(world: World) -> tuple[Probe, Probe]:
    """One whose lease is over, and the one that took the probe after it."""
    world.trip()
    (late,) = world.probes(after=15)
    lease_ends()
    (current,) = world.probes(after=1)
    return late, current


@pytest.mark.parametrize("ahead", [-86_400, 86_400])
def test_the_wait_is_as_long_wherever_the_clock_of_the_host_is(world: World, ahead: float) -> None:
    world.trip(at=timezone.now() + timedelta(seconds=ahead), wait=60)

    assert world.probes(after=50) == []
    assert len(world.probes(after=10)) == 1


def test_a_lease_ends_by_the_clock_of_the_database(world: World) -> None:
    world.trip()
    began = timezone.now()

    (probe,) = world.probes(after=15)

    assert timedelta(seconds=55) < probe.lease_until - began < timedelta(seconds=65)


def test_a_wait_that_was_written_before_the_clock_was_set_back_is_not_waited_for(world: World) -> None:
    world.trip()
    CircuitBreaker.objects.update(
        probe_at=F("probe_at") + timedelta(hours=1), changed_at=F("changed_at") + timedelta(hours=1)
    )

    assert len(world.probes()) == 1


def test_a_lease_that_was_written_before_the_clock_was_set_back_is_over(world: World) -> None:
    world.trip()
    (dead,) = world.probes(after=15)
    CircuitBreaker.objects.update(
        lease_until=F("lease_until") + timedelta(hours=1), changed_at=F("changed_at") + timedelta(hours=1)
    )

    (probe,) = world.probes()

    assert probe.token != dead.token
    assert probe.lease_until < timezone.now() + timedelta(seconds=65)


def test_a_listener_that_raises_is_counted_and_disturbs_nobody(world: World) -> None:
    def announce(_: Transition) -> None:
        raise RuntimeError("Slack is down")

    metrics = BreakerMetrics(prefix="y_", registry=world.registry)
    breakers = Breakers("transport:", announce=announce, metrics=metrics)

    begun = breakers.trip("email", reason="x", retry_after=timedelta(seconds=1), probe=None, now=NOW)

    assert begun
    counted = {"name": "transport:email", "operation": "announce"}
    assert world.registry.get_sample_value("y_breaker_faults_total", counted) == 1


def test_a_reason_is_stored_without_secrets_and_without_what_the_database_refuses(world: World) -> None:
    begun = world.trip(reason="421 busy\0 for \udcff, token=abc123")

    assert begun
    assert world.breakers.rows()[0].reason == "421 busy\N{REPLACEMENT CHARACTER} for ?, token=[redacted]"
    assert world.told[0].reason == world.breakers.rows()[0].reason


def test_a_probe_that_fails_with_a_text_that_the_database_refuses_waits_again(world: World) -> None:
    world.trip()
    (probe,) = world.probes(after=15)

    world.trip(at=later(16), probe=probe, reason="535 \0")

    assert CircuitBreaker.objects.get().state == BreakerState.OPEN


def test_a_rollback_of_the_caller_loses_no_trip(world: World) -> None:
    with transaction.atomic():
        world.trip()
        transaction.set_rollback(True)

    assert world.breakers.names_open() == {"email"}


@pytest.fixture
def no_database() -> Iterator[None]:
    """The table is away: every statement on it is an error of the database."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE resilience_circuitbreaker RENAME TO away")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE away RENAME TO resilience_circuitbreaker")


@pytest.mark.usefixtures("no_database")
def test_a_database_error_fails_open_and_is_counted(world: World) -> None:
    begun = world.trip()

    assert not begun
    assert world.breakers.names_open() == frozenset()
    assert world.breakers.probes_take() == []
    assert world.counted("breaker_faults_total", name="transport:email", operation="trip") == 1
    assert world.counted("breaker_faults_total", name="transport:", operation="read") == 1
    assert world.counted("breaker_faults_total", name="transport:", operation="probe") == 1


def test_a_connection_that_broke_is_replaced(world: World) -> None:
    world.trip()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with pytest.raises(Exception, match="terminat"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])

    first, second = world.breakers.names_open(), world.breakers.names_open()

    assert (first, second) == (frozenset(), {"email"})


def test_the_states_are_told_as_numbers(world: World) -> None:
    world.trip("email")
    world.trip("slack")
    world.probes(after=15, names=["slack"])
    world.trip("webhook")
    (probe,) = world.probes(after=15, names=["webhook"])
    world.breakers.probe_succeeded(probe, now=later(16))

    world.breakers.names_open()

    states = {kind: world.counted("breaker_state", name=f"transport:{kind}") for kind in ("email", "slack", "webhook")}
    assert states == {"email": 2, "slack": 1, "webhook": 0}
