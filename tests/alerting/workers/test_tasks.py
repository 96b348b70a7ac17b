"""The tasks themselves, called in this process: what has its turn when, and what is kept from one to the next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from alerting.matching import matching_step
from alerting.models import Message, Notification, State
from alerting.transports import transport_for
from alerting.transports.kept import KeptTransports
from alerting.workers import tasks
from tests.alerting.cycle.test_run import incident_kinds
from tests.alerting.world import World
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    world = World()
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    return world


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections of this test alone."""
    now = [0.0]
    pool = KeptTransports(transport_for, monotonic=lambda: now[0])
    monkeypatch.setattr(tasks, "_KEPT", pool)
    yield
    now[0] += 1e9
    pool.sweep()


def test_an_event_waits_for_one_claim_and_not_for_all_that_is_queued(
    world: World, smtp_server: SmtpServer, settings: Any
) -> None:
    settings.CLAIM_SIZE = 1
    settings.MAIL_CONNECTIONS = 1
    for number in range(4):
        world.make_event(mmsi=512000001 + number, occurred_at=timezone.now())
    matching_step(now=timezone.now())

    def meanwhile(_: str) -> None:
        smtp_server.before_answer = None
        world.make_event(mmsi=512000999, occurred_at=timezone.now())
        connection.close()  # of the server's thread

    smtp_server.before_answer = meanwhile

    tasks.realtime()

    assert sum("512000999" in mail.text for mail in smtp_server.mails) == 1
    assert Message.objects.filter(state=State.SENT).count() == 5


def test_a_digest_that_falls_due_during_a_cycle_does_not_wait_for_its_end(
    smtp_server: SmtpServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CLAIM_SIZE = settings.MAIL_CONNECTIONS = 1
    monkeypatch.setattr(tasks, "DIGESTS_SECONDS", 0.0)
    world = World()
    rule = world.make_rule()
    for name in ("ana", "ben", "cho", "dee"):
        user = world.make_user(f"{name}@moana.example")
        world.subscribe(user, rule, world.make_channel(user), cadence="daily")
    world.make_event(occurred_at=timezone.now())
    matching_step(now=timezone.now())
    late = Notification.objects.filter(subscription__user__email="dee@moana.example")
    Notification.objects.exclude(pk__in=late).update(due_at=timezone.now())

    def meanwhile(_: str) -> None:
        smtp_server.before_answer = None
        late.update(due_at=timezone.now())
        connection.close()  # of the server's thread

    smtp_server.before_answer = meanwhile

    tasks.digest()

    assert len(smtp_server.mails) == 4


def test_a_connection_is_kept_from_one_cycle_to_the_next(world: World, smtp_server: SmtpServer) -> None:
    for number in range(3):
        world.make_event(mmsi=512000001 + number, occurred_at=timezone.now())
        tasks.realtime()

    assert len(smtp_server.mails) == 3
    assert smtp_server.connections == 1


def test_a_step_that_runs_out_of_time_is_an_incident_like_any_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(*, now: datetime) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(tasks, "housekeeping_steps", lambda: [("stale", stale)])

    tasks.housekeeping()

    assert incident_kinds() == ["stale_failed"]
