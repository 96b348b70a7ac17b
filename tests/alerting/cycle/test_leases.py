"""Leases among many at once: one holder for each message, and nobody else changes what is held."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from alerting.cycle import queue
from alerting.cycle.outcomes import row_of, rows_write
from alerting.cycle.queue import put_off, reap, reap_worker, release
from alerting.cycle.stale import stale_step
from alerting.cycle.tried import Tried
from alerting.models import Attempt, Lease, Message
from tests.alerting.cycle.conftest import Post
from tests.alerting.cycle.test_queue import fill, take
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db(transaction=True)
MESSAGES = 400


class Many:
    """Threads that claim, give back, send and end messages, and what each saw that must not be."""

    def __init__(self, *, seconds: float) -> None:
        self.wrong: list[str] = []
        self._held: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._until = time.monotonic() + seconds

    def run(self, *several: Callable[[random.Random], None]) -> None:
        threads = [threading.Thread(target=self._loop, args=[one, number]) for number, one in enumerate(several)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _loop(self, one: Callable[[random.Random], None], number: int) -> None:
        chance = random.Random(number)
        try:
            while time.monotonic() < self._until and Message.objects.filter(state="pending").exists():
                one(chance)
        except Exception as fault:
            self.wrong.append(repr(fault))
        finally:
            connection.close()

    def send(self, chance: random.Random) -> None:
        taken = take(chance.choice((1, 3, 20)), worker=threading.current_thread().name)
        held = set(taken.message_ids)
        self._count(held, 1)
        time.sleep(chance.random() / 100)
        if set(Message.objects.filter(pk__in=held).values_list("state", flat=True)) - {"pending"}:
            self.wrong.append("somebody ended what is held")
        sent = {message for message in held if chance.random() < 0.1}
        self._count(held, -1)
        now = timezone.now()
        if rows_write([row_of(one, taken.token, Tried(now, now, "250 Ok")) for one in sent], worker="w") != sent:
            self.wrong.append("an outcome was fenced")
        if release(taken.token, held - sent) != len(held - sent):
            self.wrong.append("a lease was lost")

    def _count(self, messages: set[int], by: int) -> None:
        with self._lock:
            for message in messages:
                self._held[message] += by
                if self._held[message] > 1:
                    self.wrong.append(f"message {message} is held twice")

    def end(self, chance: random.Random) -> None:
        """As housekeeping does with what is past its time: what is held, or was a moment ago."""
        held = list(Lease.objects.values_list("pk", flat=True))
        for one in chance.sample(held, min(len(held), 3)):
            Message.objects.filter(pk=one).update(expires_at=NOW)
        stale_step(now=NOW)

    def reap(self, chance: random.Random) -> None:
        if reap(now=NOW).returned:
            self.wrong.append("a lease that runs was taken back")


def test_one_holder_for_each_message_and_nobody_ends_what_is_held(world: World) -> None:
    fill(world, MESSAGES, email="a@moana.example")
    many = Many(seconds=60)

    many.run(many.send, many.send, many.send, many.end, many.reap)

    assert many.wrong == []
    states = Counter(Message.objects.values_list("state", flat=True))
    assert states.keys() == {"sent", "stale"}
    assert Attempt.objects.count() == states["sent"]
    assert not Lease.objects.exists()


@pytest.mark.parametrize("only_one", [False, True])
def test_a_claim_goes_on_past_what_others_took_since_it_began_to_look(
    world: World, only_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first statement looks at the leases of a moment before it locks: here it sees none."""
    fill(world, 6, email="a@moana.example")
    Message.objects.update(next_attempt_at=NOW - timedelta(seconds=1) * F("pk"))
    first = take(2)
    real, looked = queue.prepared_run, list[str]()

    def prepared_run(query: str, values: Any = None) -> Any:
        if "WITH due" in query:
            looked.append(query)
            query = query if len(looked) > 1 else query.replace(queue._FREE, "true")
        return real(query, values)

    monkeypatch.setattr(queue, "prepared_run", prepared_run)
    second = take(2, worker="here:2", only_one=only_one)

    assert len(looked) > 1
    assert len(second.message_ids) == (1 if only_one else 2)
    assert set(second.message_ids).isdisjoint(first.message_ids)
    assert Counter(Lease.objects.values_list("worker", flat=True))["here:1"] == 2


def test_a_message_that_somebody_locks_keeps_no_other_from_being_taken_back(world: World) -> None:
    fill(world, 2, email="a@moana.example")
    take(2)
    locked, other = sorted(Lease.objects.values_list("pk", flat=True))

    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as holder:
        holder.execute("SELECT FROM alerting_message WHERE id = %s FOR UPDATE", [locked])
        assert reap_worker(worker="here:1", cause="it was killed", now=NOW).returned == (other,)

    assert list(Lease.objects.values_list("pk", flat=True)) == [locked]
    assert reap_worker(worker="here:1", cause="it was killed", now=NOW).returned == (locked,)


def test_what_is_held_does_not_go_stale(post: Post) -> None:
    """Its holder ends it, or gives it back."""
    post.alert()
    late = NOW + timedelta(hours=49)
    taken = take(1)

    assert stale_step(now=late) == 0
    release(taken.token, taken.message_ids)
    assert stale_step(now=late) == 1


def test_whoever_lost_the_lease_writes_nothing(post: Post) -> None:
    post.alert()
    lost = take(1)
    release(lost.token, lost.message_ids)
    [message] = take(1, worker="here:2").message_ids

    said = row_of(message, lost.token, Tried(NOW, NOW, "250 Ok"))
    assert rows_write([said], worker="here:1") == frozenset()
    assert not put_off(lost.token, message, until=NOW + timedelta(hours=1))
    assert not put_off(uuid4(), message, until=NOW + timedelta(hours=1))

    row = Message.objects.get()
    assert (row.state, row.attempts_made, row.next_attempt_at) == ("pending", 0, row.due_at)
    assert list(Lease.objects.values_list("worker", flat=True)) == ["here:2"]
