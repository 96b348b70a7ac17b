"""What counts as lost."""

from __future__ import annotations

from collections import Counter

import pytest

from alerting.gameday.tally import tally_take
from alerting.matching import matching_step
from alerting.models import Message, Notification
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting() -> Notification:
    world = World()
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    world.make_event()
    matching_step(now=NOW)
    return Notification.objects.get()


def receipt(of: Notification) -> tuple[str, str]:
    assert of.message is not None
    return of.message.message_id, of.channel.address


def test_delivered_and_marked_so_is_not_lost(waiting: Notification) -> None:
    Message.objects.update(state="sent", sent_at=NOW)
    Notification.objects.update(state="sent", sent_at=NOW)

    tally = tally_take(receipts=Counter([receipt(waiting)]), victims=[])

    assert (tally.lost, tally.others, tally.others_delivered, tally.repeated) == ([], 1, 1, 0)


def test_marked_sent_and_never_received_is_lost(waiting: Notification) -> None:
    Message.objects.update(state="sent", sent_at=NOW)
    Notification.objects.update(state="sent", sent_at=NOW)

    assert "never received" in tally_take(receipts=Counter(), victims=[waiting.subscription.user_id]).lost[0]


def test_pending_with_a_message_that_has_ended_is_lost(waiting: Notification) -> None:
    Message.objects.update(state="failed", reason="why not")

    assert "without a next time" in tally_take(receipts=Counter(), victims=[waiting.subscription.user_id]).lost[0]


def test_a_victims_may_wait_and_anybody_elses_may_not(waiting: Notification) -> None:
    assert tally_take(receipts=Counter(), victims=[waiting.subscription.user_id]).lost == []
    assert "not delivered" in tally_take(receipts=Counter(), victims=[]).lost[0]


def test_a_second_mail_is_a_repeat_and_one_without_a_row_a_stray(waiting: Notification) -> None:
    twice = Counter({receipt(waiting): 2, ("<unknown@x>", "ana@moana.example"): 1})

    tally = tally_take(receipts=twice, victims=[])

    assert tally.repeated == 1
    assert tally.strays == ["<unknown@x> to ana@moana.example"]
