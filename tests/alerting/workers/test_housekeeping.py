"""The steps of housekeeping: what stands still is heard of."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from django.db import connection

from alerting.cycle.ways_out import way_shut
from alerting.matching import matching_step
from alerting.models import Attempt, ErrorKind, Lease, Message, SendCycleRun, State
from alerting.transports import TransportError
from alerting.workers import housekeeping, reaping
from alerting.workers.delays import overdue_step, put_off_step
from alerting.workers.journals import journals_folder
from alerting.workers.reaping import reap_step
from resilience import incidents
from resilience.ledger.book import Run, run_seen
from resilience.models import Incident, WorkInHand
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waiting() -> Message:
    world = World()
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    world.make_event()
    matching_step(now=NOW)
    return Message.objects.get()


def held(message: Message) -> None:
    """By a worker whose lease has run out."""
    Lease.objects.create(message=message, token=uuid4(), until=NOW, worker="here:1")


def kinds() -> list[tuple[str, str]]:
    incidents.flush(3.0)
    return list(Incident.objects.values_list("kind", "state"))


def test_a_queue_that_does_not_move_is_an_incident_until_it_moves(waiting: Message) -> None:
    assert overdue_step(now=NOW + timedelta(seconds=30)) == 30
    assert kinds() == []

    overdue_step(now=NOW + timedelta(minutes=3))
    assert kinds() == [("messages_overdue", "open")]

    Message.objects.update(next_attempt_at=NOW + timedelta(hours=1))
    overdue_step(now=NOW + timedelta(minutes=4))
    assert kinds() == [("messages_overdue", "resolved")]


def test_a_paused_kind_is_told_once_and_not_as_overdue_too(waiting: Message) -> None:
    way_shut("email", fault=TransportError("down", kind=ErrorKind.TRANSIENT, whole_kind=True), probe=None, now=NOW)

    overdue_step(now=NOW + timedelta(minutes=3))

    assert kinds() == [("transport_paused", "open")]


def test_a_quarantined_message_is_an_incident(waiting: Message) -> None:
    Message.objects.update(deaths=3)
    held(waiting)

    assert reap_step(now=NOW + timedelta(seconds=1)) == 1

    assert kinds() == [("message_quarantined", "open")]


def run_at(minute: int, *, sent: int = 0, retried: int = 0) -> None:
    at = NOW + timedelta(minutes=minute)
    SendCycleRun.objects.create(cadence="realtime", started_at=at, worker="here:1", sent=sent, retried=retried)


def test_a_server_that_puts_everything_off_is_an_incident_until_it_takes_something(waiting: Message) -> None:
    Attempt.objects.create(
        message=waiting, claim_token=uuid4(), started_at=NOW, ended_at=NOW, outcome="failed", error_kind="transient",
        error="The mail server answered DATA with: 451 later",
    )  # fmt: skip
    run_at(-1, sent=3, retried=5)
    run_at(0, retried=2)
    put_off_step(now=NOW + timedelta(minutes=1))
    assert kinds() == []

    run_at(1, retried=1)
    put_off_step(now=NOW + timedelta(minutes=2))
    assert kinds() == [("nothing_accepted", "open")]
    assert "451 later" in Incident.objects.get().summary

    run_at(2, sent=1, retried=5)
    put_off_step(now=NOW + timedelta(minutes=3))
    assert kinds() == [("nothing_accepted", "resolved")]


def test_one_message_that_is_late_in_spite_of_its_attempts_is_told(waiting: Message) -> None:
    Message.objects.update(attempts_made=3, next_attempt_at=NOW + timedelta(hours=1))

    assert put_off_step(now=NOW + timedelta(minutes=1)) == 0
    assert put_off_step(now=NOW + timedelta(minutes=40)) == 1
    assert kinds() == [("messages_delayed", "open")]

    Message.objects.update(state=State.SENT, sent_at=NOW)
    put_off_step(now=NOW + timedelta(minutes=41))
    assert kinds() == [("messages_delayed", "resolved")]


def test_work_of_a_run_that_nobody_knows_is_forgotten_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_last_clean", [0.0])
    known = Run(part="worker realtime", instance="a", began_at=NOW)
    run_seen(known)
    for run, age in ((known.id, 48), (uuid4(), 1), (lost := uuid4(), 48)):
        WorkInHand.objects.create(run=run, pid=1, doing="realtime", began_at=NOW - timedelta(hours=age))

    housekeeping.cleaning_step(now=NOW)

    assert WorkInHand.objects.count() == 2
    assert not WorkInHand.objects.filter(run=lost).exists()


def test_a_folder_of_journals_that_cannot_be_used_stops_no_reaping(waiting: Message) -> None:
    held(waiting)
    journals_folder().parent.mkdir(parents=True)
    journals_folder().write_text("in the way")

    assert reap_step(now=NOW) == 1
    incidents.flush(3.0)
    assert Incident.objects.get().kind == "journal_unread"


def test_taking_claims_back_waits_for_no_lock_for_long(waiting: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "STATEMENT_TIMEOUT", "300ms")
    held(waiting)
    parameters = connection.get_connection_params()

    with psycopg.connect(**parameters) as other:
        other.execute("LOCK TABLE alerting_message IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        reaping.claims_take_back(worker="here:1", cause="its worker was killed", now=NOW)
        took = time.monotonic() - began

    assert took < 3
    assert Lease.objects.exists()
