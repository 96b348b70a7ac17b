"""The queue: leases, tokens, fairness between organisations, deaths and quarantine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from alerting.cycle.load import load
from alerting.cycle.queue import Claim, claim, oldest_due, put_off, reap, reap_worker, release
from alerting.messages import message_new
from alerting.models import Death, Lease, Message, MessageKind, Notification
from tests.alerting.cycle.conftest import Post
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db(transaction=True)
LEASE, HOUR = timedelta(minutes=2), timedelta(hours=1)


def fill(world: World, count: int, *, email: str, kind: str = "email", ago: timedelta = timedelta()) -> None:
    user = world.make_user(email)
    channel = world.make_channel(user, kind=kind)
    organisation, due = world.organisation.pk, NOW - ago
    Message.objects.bulk_create(
        message_new(organisation_id=organisation, channel=channel, kind=MessageKind.TEST, due_at=due, now=due)
        for _ in range(count)
    )


def take(room: int = 10, *, lanes: Sequence[str] = ("realtime:email",), **options: Any) -> Claim:
    return claim(**{"rooms": dict.fromkeys(lanes, room), "now": NOW, "lease": LEASE, "worker": "here:1"} | options)


def test_a_flood_of_one_organisation_holds_up_no_other(world: World) -> None:
    fill(world, 50, email="flood@moana.example")
    other = World("other")
    fill(other, 3, email="few@other.example")

    taken = take(10)

    owners = list(Message.objects.filter(pk__in=taken.message_ids).values_list("organisation__slug", flat=True))
    assert len(owners) == 10
    assert owners.count("other") == 3


def test_each_kind_of_channel_gets_its_own_room_however_old_the_flood_of_another_is(world: World) -> None:
    fill(world, 30, email="flood@moana.example", ago=HOUR)
    fill(world, 3, email="hook@moana.example", kind="webhook")
    other = World("other")
    fill(other, 30, email="many@other.example", ago=HOUR / 2)
    fill(other, 1, email="slack@other.example", kind="slack")

    taken = take(rooms={"realtime:email": 9, "realtime:webhook": 2, "realtime:slack": 5})

    assert taken.by_lane == {"realtime:email": 9, "realtime:webhook": 2, "realtime:slack": 1}
    assert lanes_and_owners(taken) == {
        ("realtime:email", "moana"): 5,
        ("realtime:email", "other"): 4,
        ("realtime:webhook", "moana"): 2,
        ("realtime:slack", "other"): 1,
    }


def test_what_one_organisation_has_no_need_for_goes_to_the_others(world: World) -> None:
    fill(world, 30, email="flood@moana.example", ago=HOUR)
    fill(world, 30, email="hook@moana.example", kind="webhook", ago=HOUR)
    fill(World("other"), 1, email="single@other.example", kind="webhook")

    taken = take(10, lanes=["realtime:email", "realtime:webhook"])

    assert lanes_and_owners(taken) == {
        ("realtime:email", "moana"): 10,
        ("realtime:webhook", "moana"): 9,
        ("realtime:webhook", "other"): 1,
    }


@pytest.mark.parametrize(("floods", "room"), [(2, 4), (5, 20), (13, 100)])
def test_no_number_of_older_floods_keeps_a_single_message_out_of_a_claim(floods: int, room: int, world: World) -> None:
    """Rounded up, the shares of the floods are more than the room, and theirs are older."""
    for number in range(floods):
        fill(World(f"o{number}"), 2 * room // floods, email=f"a@o{number}.example", ago=HOUR)
    fill(world, 1, email="single@moana.example")

    found = lanes_and_owners(take(room))

    assert found["realtime:email", "moana"] == 1
    assert sum(found.values()) == room


def test_more_organisations_than_there_is_room_for_take_turns_from_claim_to_claim(world: World) -> None:
    for number in range(5):
        fill(World(f"o{number}"), 5, email=f"a@o{number}.example", ago=number * HOUR)
    served: dict[str, int] = {}

    turns = [{owner for _, owner in lanes_and_owners(take(2, served=served))} for _ in range(5)]

    assert turns == [{"o0", "o1"}, {"o2", "o3"}, {"o4", "o0"}, {"o1", "o2"}, {"o3", "o4"}]


def test_a_single_message_waits_for_no_backlog_however_many_have_one(world: World) -> None:
    """Not even for ones that are older and longer than can ever leave."""
    for number in range(6):
        fill(World(f"o{number}"), 20, email=f"a@o{number}.example", ago=HOUR)
    served: dict[str, int] = {}
    take(2, served=served)
    fill(world, 1, email="single@moana.example")

    claims = [lanes_and_owners(take(2, served=served)) for _ in range(4)]  # seven organisations, two at a time

    assert sum(found["realtime:email", "moana"] for found in claims) == 1


def test_each_lane_has_its_own_turns(world: World) -> None:
    for number in range(3):
        fill(World(f"o{number}"), 5, email=f"a@o{number}.example")
    other = World("last")
    fill(other, 5, email="hook@last.example", kind="webhook")
    served: dict[str, int] = {}

    take(1, lanes=["realtime:email", "realtime:webhook"], served=served)
    found = lanes_and_owners(take(1, lanes=["realtime:email", "realtime:webhook"], served=served))

    assert found == {("realtime:email", "o1"): 1, ("realtime:webhook", "last"): 1}


def test_only_one_is_the_oldest_of_all_lanes(world: World) -> None:
    fill(world, 2, email="a@moana.example")
    fill(world, 2, email="hook@moana.example", kind="webhook", ago=HOUR)

    taken = take(1, lanes=["realtime:email", "realtime:slack", "realtime:webhook"], only_one=True)

    assert lanes_and_owners(taken) == {("realtime:webhook", "moana"): 1}
    assert Lease.objects.count() == 1


def test_a_claim_is_prepared_in_turns_of_organisations_and_kinds(world: World) -> None:
    """However many organisations have mails, the one for another way out waits for one of them."""
    for number in range(6):
        fill(World(f"o{number}"), 3, email=f"a@o{number}.example", ago=HOUR)
    fill(world, 1, email="hook@moana.example", kind="webhook")

    found = list(load(take(30, lanes=["realtime:email", "realtime:webhook"])).messages)

    assert {message.lane for message in found[:2]} == {"realtime:email", "realtime:webhook"}
    assert len({message.organisation_id for message in found[:7]}) == 7
    assert len(found) == 19


def lanes_and_owners(taken: Claim) -> Counter[tuple[str, str]]:
    return Counter(Message.objects.filter(pk__in=taken.message_ids).values_list("lane", "organisation__slug"))


def test_two_workers_never_hold_the_same_message(world: World) -> None:
    fill(world, 200, email="a@moana.example")
    fill(World("other"), 100, email="hook@other.example", kind="webhook")
    found: list[int] = []

    def work(only_one: bool) -> None:
        while taken := take(7, lanes=["realtime:email", "realtime:webhook"], only_one=only_one).message_ids:
            found.extend(taken)
        connection.close()

    threads = [threading.Thread(target=work, args=[number == 0]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == len(set(found)) == 300


@pytest.mark.parametrize("way", ["claim", "oldest"])
def test_no_server_compiles_a_plan_for_the_queue(world: World, way: str) -> None:
    """One with LLVM would, for a plan that looks dear, as one does that takes a way we turned off: 0.3 s each time."""
    fill(world, 2, email="a@moana.example")

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = on")
        assert take().message_ids if way == "claim" else oldest_due(lanes=["realtime:email"], now=NOW)
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == ("off",)


def test_what_is_not_due_or_of_a_paused_kind_is_left(world: World) -> None:
    fill(world, 2, email="a@moana.example")
    Message.objects.filter(pk=Message.objects.latest("pk").pk).update(next_attempt_at=NOW + timedelta(seconds=1))

    assert take(lanes=["realtime:slack", "digest:email"]).message_ids == ()
    assert len(take().message_ids) == 1


def test_released_messages_are_due_again_at_once_and_only_by_their_holder(world: World) -> None:
    fill(world, 3, email="a@moana.example")
    first = take()

    assert release(first.token, first.message_ids) == 3
    second = take()
    assert len(second.message_ids) == 3
    assert release(first.token, first.message_ids) == 0


def test_a_message_that_kills_its_worker_alone_three_times_is_quarantined(post: Post) -> None:
    post.alert()
    now = NOW
    killed_alone = 0
    for death in range(4):
        suspects = death > 0
        assert take(now=now, suspects=not suspects).message_ids == ()
        assert len(take(1, now=now, suspects=suspects).message_ids) == 1
        leases_run_out()
        killed_alone += suspects
        reaped = reap(now=now)

    assert killed_alone == 3
    assert len(reaped.quarantined) == 1
    notification = Notification.objects.get()
    assert (notification.state, Message.objects.get().state) == ("quarantined", "quarantined")
    assert "died 4 times" in notification.reason
    deaths = Death.objects.order_by("pk").values_list("worker", "alone")
    assert list(deaths) == [("here:1", False)] + 3 * [("here:1", True)]


def test_the_claims_of_a_worker_known_to_be_dead_are_taken_back_at_once(world: World) -> None:
    fill(world, 4, email="a@moana.example")
    take(2, worker="here:1")
    take(2, worker="here:2")

    reaped = reap_worker(worker="here:1", cause="it was killed by signal 9", now=NOW)

    assert len(reaped.returned) == 2
    assert set(Death.objects.values_list("cause", "alone")) == {("it was killed by signal 9", False)}
    assert list(Lease.objects.values_list("worker", flat=True)) == ["here:2", "here:2"]


def test_a_lease_that_runs_is_not_reaped(world: World) -> None:
    fill(world, 2, email="a@moana.example")
    take()

    assert reap(now=NOW).returned == ()
    leases_run_out()
    assert len(reap(now=NOW).returned) == 2


def test_a_machine_whose_clock_is_fast_takes_no_claim_for_ended(world: World) -> None:
    fill(world, 2, email="a@moana.example")
    take()

    assert reap(now=timezone.now() + timedelta(hours=1)).returned == ()


def test_what_is_put_off_comes_again_later_and_only_by_its_holder(world: World) -> None:
    fill(world, 1, email="a@moana.example")
    held = take()
    later = NOW + timedelta(minutes=5)

    assert not put_off(uuid4(), held.message_ids[0], until=later)
    assert put_off(held.token, held.message_ids[0], until=later)
    assert take().message_ids == ()
    assert len(take(now=later).message_ids) == 1
    assert Message.objects.get().attempts_made == 0


def leases_run_out() -> None:
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
