"""The steps of housekeeping: what stands still is heard of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerting.cycle.ways_out import way_shut
from alerting.matching import matching_step
from alerting.models import ErrorKind, Message, State
from alerting.transports import TransportError
from alerting.workers.housekeeping import overdue_step
from alerting.workers.reaping import reap_step
from resilience import incidents
from resilience.models import Incident
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
    Message.objects.update(
        state=State.CLAIMED, deaths=3, claim_token="12345678123456781234567812345678", lease_until=NOW
    )

    assert reap_step(now=NOW + timedelta(seconds=1)) == 1

    assert kinds() == [("message_quarantined", "open")]
