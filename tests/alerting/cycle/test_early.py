"""What is announced early is begun, sent and recorded as ever: nothing is lost between two messages."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest

from alerting.cycle import driver
from alerting.cycle.lane import Lane
from alerting.cycle.seat import Ready, Seat
from alerting.cycle.send import Begun
from alerting.models import Attempt, Message, State
from alerting.transports.limits import Limits
from tests.alerting.cycle.conftest import Post
from tests.alerting.cycle.test_senders import queue_messages
from tests.odd_smtp_server import OddServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The messages that were announced early, each time."""
    given: list[int] = []
    real = Lane.next_early

    def noted(self: Lane) -> Ready | None:
        ready = real(self)
        if ready is not None:
            given.append(ready.message_id)
        return ready

    monkeypatch.setattr(Lane, "next_early", noted)
    return given


def point_at(server: OddServer, settings: Any) -> None:
    settings.SMTP_HOST, settings.SMTP_PORT, settings.SMTP_TLS = "127.0.0.1", server.port, "none"


def sent_once(server: OddServer, count: int) -> bool:
    return len(server.taken) == count and set(server.taken.values()) == {1}


def test_a_backlog_takes_one_round_trip_a_message(post: Post, settings: Any, early: list[int]) -> None:
    queue_messages(post.world, 60)
    with OddServer(content_seconds=0.002) as server:
        point_at(server, settings)
        counts = post.cycle(limits=lambda kind: Limits(3))

    assert counts.sent == 60
    assert sent_once(server, 60)
    assert server.connections == 3
    assert len(early) >= server.together() > 10
    assert Counter(Attempt.objects.values_list("outcome", flat=True)) == {"sent": 60}


@pytest.mark.parametrize(
    "way",
    [
        {"swallows": True},
        {"one_each": True},
        {"content_last": True},
        {"drips": True, "content_last": True},
        {"envelope_seconds": 0.3},
    ],
    ids=str,
)
def test_a_server_that_takes_it_in_a_way_of_its_own_gets_every_message_once(
    way: dict[str, Any], post: Post, settings: Any, early: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no attempt is burnt."""
    monkeypatch.setattr(driver, "PATIENCE_SECONDS", 0.2)
    queue_messages(post.world, 40)
    with OddServer(**way) as server:
        point_at(server, settings)
        counts = post.cycle(limits=lambda kind: Limits(4))

    assert (counts.sent, counts.retried, counts.failed) == (40, 0, 0)
    assert sent_once(server, 40)
    assert early  # it was tried at least


def test_a_stop_between_two_messages_repeats_and_loses_nothing(post: Post, settings: Any, early: list[int]) -> None:
    """The one that was announced is given back, and its content does not leave."""
    queue_messages(post.world, 60)
    with OddServer(content_seconds=0.01) as server:
        point_at(server, settings)
        cycles = 0
        while Message.objects.filter(state=State.PENDING).exists() and cycles < 60:
            until, cycles = time.monotonic() + 0.1 + 0.01 * cycles, cycles + 1
            counts = post.cycle(limits=lambda kind: Limits(3), stopping=lambda until=until: time.monotonic() > until)
            assert counts.claimed == counts.sent + counts.released

    assert cycles > 1
    assert early
    assert sent_once(server, 60)
    assert Counter(Attempt.objects.values_list("outcome", flat=True)) == {"sent": 60}


def test_what_goes_wrong_with_one_costs_the_one_behind_it_nothing(post: Post, settings: Any, early: list[int]) -> None:
    queue_messages(post.world, 60)
    answers = {f".r{number}@moana.example": "554 5.7.1 spam" for number in range(20, 60, 8)}
    answers |= {f"r{number}@moana.example": "554 5.7.1 not you" for number in range(23, 60, 8)}
    with OddServer(answers=answers) as server:
        point_at(server, settings)
        counts = post.cycle(limits=lambda kind: Limits(3))

    assert (counts.sent, counts.failed, counts.retried) == (50, 10, 0)
    assert early
    assert sent_once(server, 50)
    assert Counter(Attempt.objects.values_list("outcome", flat=True)) == {"sent": 50, "failed": 10}


def test_a_message_that_is_put_aside_by_halves_leaves_its_connection_to_no_other(
    post: Post, settings: Any, early: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one behind it is back in the queue, and then there is no memory to hand the first one on: its connection must
    not serve another, whose content the server would take for that of the one behind."""
    real = Lane.aside
    failed_at: list[float] = []

    def failing(self: Lane, *given: Any) -> None:
        failed_at.append(time.monotonic())
        if failed_at[-1] < failed_at[0] + 0.5:
            raise MemoryError
        real(self, *given)

    monkeypatch.setattr(Lane, "aside", failing)
    monkeypatch.setattr(driver, "PATIENCE_SECONDS", 0.1)
    queue_messages(post.world, 40)
    with OddServer(content_seconds=0.02) as server:
        point_at(server, settings)
        server.slow = {"r20@moana.example": 0.25, "r21@moana.example": 0.25}
        counts = post.cycle(limits=lambda kind: Limits(3), budget=20.0, send_deadline=5.0)

    assert (counts.sent, counts.failed, counts.retried) == (40, 0, 0)
    assert early
    assert sent_once(server, 40)
    for recipient, content in server.contents:
        assert content.startswith(b"From: ")
        assert f"\nTo: {recipient}\n".encode() in content


@pytest.mark.parametrize("part", ["next_early", "not_after_all", "begin", "_called"])
def test_a_lack_of_memory_between_two_messages_loses_and_repeats_neither(
    part: str, post: Post, settings: Any, early: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = getattr(Lane, part), iter(range(1_000_000))

    def failing(self: Lane, *given: Any, **named: Any) -> Any:
        if threading.current_thread().name == "email-driver" and next(calls) in (1, 2, 9):
            raise MemoryError
        return real(self, *given, **named)

    monkeypatch.setattr(Lane, part, failing)
    queue_messages(post.world, 60)
    with OddServer(answers={f".r{number}@moana.example": "554 5.7.1 spam" for number in range(10, 60, 5)}) as server:
        point_at(server, settings)
        counts = post.cycle(limits=lambda kind: Limits(3), budget=20.0, send_deadline=5.0)

    assert (counts.sent, counts.failed, counts.retried) == (50, 10, 0)
    assert early
    assert sent_once(server, 50)
    assert Counter(Attempt.objects.values_list("outcome", flat=True)) == {"sent": 50, "failed": 10}
    assert next(calls) > 2


def test_a_message_that_was_announced_has_an_attempt_only_from_when_its_turn_comes(
    post: Post, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[str, int]] = []
    accepted, begin = Lane.accepted, Lane.begin

    def noted_accepted(self: Lane, ready: Ready, seat: Seat, tried: Any) -> None:
        order.append(("accepted", ready.message_id))
        accepted(self, ready, seat, tried)

    def noted_begin(self: Lane, ready: Ready, seat: Seat) -> Begun | None:
        order.append(("begun", ready.message_id))
        return begin(self, ready, seat)

    monkeypatch.setattr(Lane, "accepted", noted_accepted)
    monkeypatch.setattr(Lane, "begin", noted_begin)
    queue_messages(post.world, 20)
    with OddServer() as server:
        point_at(server, settings)
        post.cycle(limits=lambda kind: Limits(1))

    keys = [key for _, key in order]
    assert [what for what, _ in order] == ["begun", "accepted"] * 20
    assert keys[::2] == keys[1::2]
    assert server.together() > 10
