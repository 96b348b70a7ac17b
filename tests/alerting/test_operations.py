"""What operators do by hand: which states allow it, what it changes, and that it is recorded."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from accounts.models import User
from alerting.matching import matching_step
from alerting.models import Lease, Message, Notification, OperatorAction, State
from alerting.operations import OperationRefused, notification_cancel, notification_mark_handled, notification_retry
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(days=3)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def operator(world: World) -> User:
    return world.make_user("op@moana.example", role="administrator")


def make_notification(world: World, state: State = State.PENDING) -> Notification:
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    world.make_event()
    matching_step(now=NOW)
    reason = "" if state == State.PENDING else "as a test wants it"
    Message.objects.update(state=state, reason=reason, attempts_made=6 if reason else 0)
    Notification.objects.update(state=state, reason=reason)
    return Notification.objects.get()


@pytest.mark.parametrize("state", [State.FAILED, State.STALE, State.QUARANTINED, State.CANCELLED])
def test_a_retry_makes_it_due_now_with_everything_anew(world: World, operator: User, state: State) -> None:
    row = make_notification(world, state)

    notification_retry(notification=row, by=operator, at=LATER)

    row = Notification.objects.get()
    assert row.message is not None
    assert (row.state, row.reason, row.due_at) == ("pending", "", LATER)
    assert (row.message.state, row.message.attempts_made, row.message.next_attempt_at) == ("pending", 0, LATER)
    assert row.message.expires_at == LATER + timedelta(hours=48)
    action = OperatorAction.objects.get()
    assert (action.action, action.by, action.at, action.from_state, action.to_state) == (
        "retry", operator, LATER, state.value, "pending",
    )  # fmt: skip


def test_what_waits_is_not_retried(world: World, operator: User) -> None:
    row = make_notification(world)

    with pytest.raises(OperationRefused, match="it is pending"):
        notification_retry(notification=row, by=operator, at=LATER)
    assert not OperatorAction.objects.exists()


def test_a_stale_one_that_waited_for_its_digest_is_due_in_the_next(world: World, operator: User) -> None:
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user), cadence="daily")
    world.make_event()
    matching_step(now=NOW)
    Notification.objects.update(state=State.STALE, reason="stale")

    notification_retry(notification=Notification.objects.get(), by=operator, at=LATER)

    row = Notification.objects.get()
    assert (row.state, row.message, row.due_at) == ("pending", None, LATER)
    assert OperatorAction.objects.get().from_state == "stale"


def test_what_waits_can_be_cancelled_with_a_reason(world: World, operator: User) -> None:
    row = make_notification(world)

    notification_cancel(notification=row, by=operator, at=LATER)

    assert Notification.objects.get().reason == "cancelled by op@moana.example"
    assert Message.objects.get().state == "cancelled"


def test_what_is_on_the_wire_is_not_cancelled(world: World, operator: User) -> None:
    row = make_notification(world)
    Lease.objects.create(message=Message.objects.get(), token=uuid4(), until=LATER, worker="here:1")

    with pytest.raises(OperationRefused, match="being sent at this moment"):
        notification_cancel(notification=row, by=operator, at=LATER)


def test_marking_handled_says_by_whom_and_once(world: World, operator: User) -> None:
    row = make_notification(world, State.FAILED)

    notification_mark_handled(notification=row, by=operator, at=LATER)

    row = Notification.objects.get()
    assert (row.state, row.handled_by, row.handled_at) == ("failed", operator, LATER)
    with pytest.raises(OperationRefused, match="handled it already"):
        notification_mark_handled(notification=row, by=operator, at=LATER)


def test_a_retried_digest_leaves_out_what_a_re_check_had_taken_out(world: World, operator: User) -> None:
    failed = make_notification(world, State.FAILED)
    world.make_event(occurred_at=NOW + timedelta(hours=1), position_key="another")
    matching_step(now=NOW)
    taken_out = Notification.objects.exclude(pk=failed.pk).get()
    Notification.objects.filter(pk=taken_out.pk).update(
        message=failed.message, state=State.CANCELLED, reason="The event was taken back."
    )

    notification_retry(notification=failed, by=operator, at=LATER)

    assert Notification.objects.get(pk=failed.pk).state == "pending"
    assert Notification.objects.get(pk=taken_out.pk).state == "cancelled"
