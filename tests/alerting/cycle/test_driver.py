"""Who serves a message: the driver, or a thread that waits. None is lost between them and none is sent twice."""

from __future__ import annotations

import errno
import random
import selectors
import threading
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from alerting.cycle import driver, lane
from alerting.cycle.driver import Driver, _Talk
from alerting.cycle.lane import Lane
from alerting.cycle.seat import Ready, Seat
from alerting.cycle.send import Begun
from alerting.models import Attempt, Message, State
from alerting.transports.limits import Limits
from tests.alerting.cycle.conftest import Post
from tests.alerting.cycle.test_senders import queue_messages
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The messages that the driver gave to threads."""
    given: list[int] = []
    real = Lane.aside

    def noted(self: Lane, ready: Ready, seat: Seat, begun: Begun | None) -> None:
        given.append(ready.message_id)
        real(self, ready, seat, begun)

    monkeypatch.setattr(Lane, "aside", noted)
    return given


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The messages that the driver saw accepted."""
    seen: list[int] = []
    real = Lane.accepted

    def noted(self: Lane, ready: Ready, *rest: Any) -> None:
        seen.append(ready.message_id)
        real(self, ready, *rest)

    monkeypatch.setattr(Lane, "accepted", noted)
    return seen


def test_all_that_goes_well_is_the_drivers(
    post: Post, smtp_server: SmtpServer, aside: list[int], driven: list[int]
) -> None:
    queue_messages(post.world, 40)

    counts = post.cycle(limits=lambda kind: Limits(5))

    assert counts.sent == len(driven) == 40
    assert aside == []
    assert smtp_server.connections <= 5


def test_a_server_that_wants_each_step_waited_for_gets_a_thread_for_each_connection(
    post: Post, smtp_server: SmtpServer, driven: list[int]
) -> None:
    smtp_server.pipelining = False
    smtp_server.delay = 0.2
    queue_messages(post.world, 12)

    began = time.monotonic()
    counts = post.cycle(limits=lambda kind: Limits(4))

    assert (counts.sent, driven) == (12, [])
    assert smtp_server.connections == 4
    assert time.monotonic() - began < 2.0  # one after the other: 2.4 s


def test_a_provider_that_limits_the_rate_gets_threads_that_wait_for_their_turn(
    post: Post, smtp_server: SmtpServer, driven: list[int]
) -> None:
    queue_messages(post.world, 6)

    counts = post.cycle(limits=lambda kind: Limits(3, per_second=50.0))

    assert (counts.sent, driven) == (6, [])


def test_what_is_refused_or_lost_goes_aside_and_all_others_do_not(
    post: Post, smtp_server: SmtpServer, aside: list[int], driven: list[int]
) -> None:
    smtp_server.rcpt_answers["r1@moana.example"] = "554 5.7.1 not from you"
    smtp_server.data_answers["r2@moana.example"] = "451 4.3.0 later"
    smtp_server.drop_after_data["r3@moana.example"] = 1
    queue_messages(post.world, 20)

    counts = post.cycle(limits=lambda kind: Limits(4))

    assert (counts.sent, counts.failed, counts.retried) == (17, 1, 2)
    assert len(driven) == 17
    assert len(aside) == 3
    assert set(smtp_server.message_ids().values()) == {1}


def test_a_slow_message_gets_a_thread_and_the_driver_goes_on(
    post: Post, smtp_server: SmtpServer, aside: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "PATIENCE_SECONDS", 0.2)
    smtp_server.hang.add("r0@moana.example")
    queue_messages(post.world, 30)

    counts = post.cycle(limits=lambda kind: Limits(2), send_deadline=1.0)

    assert (counts.sent, counts.retried) == (29, 1)
    assert len(aside) == 1


def test_an_error_of_the_drivers_own_costs_no_message(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fails = Driver._set_slow_aside, iter([False, True] * 3)

    def failing(self: Driver) -> None:
        if next(fails, False):
            raise RuntimeError("a fault of the driver's")
        real(self)

    monkeypatch.setattr(Driver, "_set_slow_aside", failing)
    queue_messages(post.world, 30)

    counts = post.cycle(limits=lambda kind: Limits(4))

    assert counts.sent == 30
    assert set(smtp_server.message_ids().values()) == {1}


@pytest.mark.parametrize("part", ["begin", "aside", "next", "may_hand_over"])
def test_what_fails_once_for_want_of_memory_loses_no_message(
    part: str, post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    smtp_server.rcpt_answers["r7@moana.example"] = "554 5.7.1 not from you"
    real, calls = getattr(Lane, part), iter(range(1_000_000))

    def failing(self: Lane, *given: Any, **named: Any) -> Any:
        if next(calls) in (0, 3):
            raise MemoryError
        return real(self, *given, **named)

    monkeypatch.setattr(Lane, part, failing)
    queue_messages(post.world, 20)

    counts = post.cycle(limits=lambda kind: Limits(3), budget=20.0, send_deadline=5.0)

    assert (counts.sent, counts.failed, counts.retried) == (19, 1, 0)
    assert set(smtp_server.message_ids().values()) == {1}
    assert next(calls) > 3 or part == "aside"


def test_a_connection_that_cannot_be_listened_to_is_waited_for(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = selectors.DefaultSelector.register

    def register(self: Any, number: int, events: int, data: Any = None) -> Any:
        if threading.current_thread().name == "email-driver":
            raise OSError(errno.ENOSPC, "no watch left")
        return real(self, number, events, data)

    monkeypatch.setattr(selectors.DefaultSelector, "register", register)
    queue_messages(post.world, 12)

    counts = post.cycle(limits=lambda kind: Limits(3))

    assert counts.sent == 12
    assert set(smtp_server.message_ids().values()) == {1}


def test_a_message_set_aside_waits_for_no_thread_that_is_taken_by_another(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one idle thread takes a slow message in the moment in which the driver wants it."""
    monkeypatch.setattr(driver, "PATIENCE_SECONDS", 0.1)
    smtp_server.hang |= {f"r{number}@moana.example" for number in range(6)}
    queue_messages(post.world, 30)

    began = time.monotonic()
    counts = post.cycle(limits=lambda kind: Limits(6), send_deadline=1.5)

    assert (counts.sent, counts.retried) == (24, 6)
    assert time.monotonic() - began < 4.0  # the six hang side by side


def test_where_no_thread_can_be_started_the_driver_waits_itself(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    smtp_server.rcpt_answers |= {f"r{number}@moana.example": "554 5.7.1 not from you" for number in range(5)}
    queue_messages(post.world, 20)
    real, started = threading.Thread.start, Counter[str]()

    def start(self: threading.Thread) -> None:
        name = self.name.partition("-")[0] if not self.name.endswith("driver") else "driver"
        started[name] += 1
        if name == "email" and started[name] > 1:
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(lane, "_NEAR_AFTER_SECONDS", 0.0)

    counts = post.cycle(limits=lambda kind: Limits(4))

    assert (counts.sent, counts.failed) == (15, 5)


def test_an_idle_connection_that_the_server_closes_is_opened_again_for_the_next_message(
    post: Post, smtp_server: SmtpServer, aside: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0
    real = Driver._turn

    def counted(self: Driver, selector: Any) -> None:
        nonlocal turns
        turns += 1
        real(self, selector)

    def close_the_idle_one() -> None:
        port = smtp_server.ports["r0@moana.example"]
        (idle,) = (one for one in smtp_server.sessions if one.session and one.session.peer[1] == port)
        idle.loop.call_soon_threadsafe(idle.hang_up)

    def intake() -> None:
        if len(smtp_server.mails) == 1 and not aside and Message.objects.count() == 2:
            close_the_idle_one()
            time.sleep(0.2)
            queue_messages(post.world, 1, email="late@moana.example")

    monkeypatch.setattr(Driver, "_turn", counted)
    monkeypatch.setattr(driver, "PATIENCE_SECONDS", 10.0)
    queue_messages(post.world, 2)
    smtp_server.before_answer = lambda address: time.sleep(1.5 if address.startswith("r1@") else 0)

    counts = post.cycle(limits=lambda kind: Limits(2), intake=intake)

    assert counts.sent == 3
    assert len(aside) == 1
    assert smtp_server.connections == 3
    assert turns < 60  # a line that stays readable would be heard thousands of times


def test_many_cycles_with_everything_that_can_happen_lose_and_repeat_nothing(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals, goodbyes, slow answers, connections turned away, cycles stopped in the middle."""
    monkeypatch.setattr(driver, "PATIENCE_SECONDS", 0.05)
    smtp_server.most_connections, smtp_server.most_mails, dice = 6, 9, random.Random(3)
    smtp_server.before_answer = lambda _: time.sleep(dice.choice([0, 0, 0.002, 0.08]))
    queue_messages(post.world, 150)
    for number in range(0, 150, 10):
        smtp_server.data_answers[f"r{number}@moana.example"] = ["451 4.3.0 later", "250 2.0.0 at last"]

    for _ in range(40):
        until = time.monotonic() + dice.uniform(0.05, 0.4)
        post.cycle(limits=lambda kind: Limits(8), stopping=lambda until=until: time.monotonic() > until)
        post.later(minutes=1)
        if not Message.objects.filter(state=State.PENDING).exists():
            break

    assert Message.objects.filter(state=State.SENT).count() == 150
    accepted = Attempt.objects.filter(outcome="sent").values_list("message_id", flat=True)
    assert Counter(accepted).most_common(1)[0][1] == 1
    assert set(smtp_server.message_ids().values()) == {1}


def test_contents_that_are_asked_for_leave_first_and_of_the_others_those_that_have_waited_longest() -> None:
    """Else a server that answers at once would have the same few connections served again and again."""
    driver = Driver(SimpleNamespace(kind="email"))  # type: ignore[arg-type]
    others = [talk_of(since=float(since)) for since in (5, 4, 9, 1, 7)]
    asked = talk_of(since=8.0, announced=True)

    order = list(driver._heard_first([*others, asked]))

    assert order == [asked, others[3], others[1], others[0]]


def talk_of(*, since: float, announced: bool = False) -> _Talk:
    return _Talk(SimpleNamespace(), SimpleNamespace(), 0, since=since, announced=announced)  # type: ignore[arg-type]
