"""The seats of a lane: how soon all are taken, and what one waits for before its next message may be accepted."""

from __future__ import annotations

import threading
import time
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import pytest

from alerting.cycle import lane as lanes
from alerting.cycle.lane import Lane
from alerting.cycle.outcomes import Settled
from alerting.cycle.seat import Seat
from alerting.cycle.send import Begun
from alerting.cycle.turns import Turns
from alerting.transports import Line, LineTransport, Transport, UnknownKind
from alerting.transports.contract import Outgoing


class Open(LineTransport):
    """Its connection is open, and its server has to be waited for in each step."""

    def send(self, outgoing: Outgoing, **_: Any) -> str:
        return ""

    def close(self) -> None:
        """Nothing to let go of."""

    def open(self, *, deadline: float) -> None:
        """It is."""

    def line(self) -> Line | None:
        return None


class Meeting:
    """Serves messages that wait for one another: none is served before all are."""

    def __init__(self, transport: Transport, number: int) -> None:
        self._transport = transport
        self.met = threading.Barrier(number)

    def sit(self, kind: str) -> Seat:
        return Seat(self._transport)

    def connect(self, *_: Any) -> Begun:
        return Begun(at=None, deadline=0.0, clock=None, go_on=None)  # type: ignore[arg-type]

    def serve(self, *_: Any) -> None:
        self.met.wait(5.0)

    def failed(self, ready: Any, error: Exception) -> None:
        """The barrier keeps that it broke."""

    def done(self, lane: Lane) -> None:
        """Nobody waits."""


@pytest.mark.parametrize("transport", [UnknownKind("webhook"), Open()], ids=["no line", "open, not as a line"])
def test_where_there_is_nothing_to_open_nobody_waits_as_for_that(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "_NEAR_AFTER_SECONDS", 3.0)
    service: Any = Meeting(transport, 6)
    lane = Lane("webhook", most=6, service=service)

    began = time.monotonic()
    lane.put([SimpleNamespace(organisation_id=1, large=False) for _ in range(6)])  # type: ignore[misc]
    while lane.unfinished() and time.monotonic() - began < 10.0:
        time.sleep(0.01)
    left = lane.close()

    assert (left, service.met.broken) == ([], False)


def test_what_is_settled_is_forgotten_and_the_first_that_is_not_is_waited_for() -> None:
    """Without a page of the journal: each outcome has to be in the database."""
    seat = Seat(UnknownKind("email"))
    seat.unsettled.extend([Settled(), Settled()])
    hurried: list[None] = []

    seat.unsettled[0].set()
    began = time.monotonic()
    settled = seat.settled(0.3, hurry=lambda: hurried.append(None))

    assert not settled
    assert 0.25 < time.monotonic() - began < 0.5
    assert (len(seat.unsettled), len(hurried)) == (1, 1)


def test_the_time_that_one_outcome_took_is_not_given_to_the_next() -> None:
    class Late(Settled):
        def wait(self, seconds: float) -> bool:
            time.sleep(0.2)
            self.set()
            return super().wait(seconds)

    seat = Seat(UnknownKind("email"))
    seat.unsettled.extend([Late(), Settled()])
    began = time.monotonic()

    assert not seat.settled(0.3, hurry=lambda: None)
    assert time.monotonic() - began < 0.45  # 0.5 if each had its own


def ready(*, large: bool = False) -> Any:
    return SimpleNamespace(organisation_id=1, large=large)


def queue_of(*several: Any) -> Turns[Any]:
    queue: Turns[Any] = Turns(owner=attrgetter("organisation_id"))
    for each in several:
        queue.put(each)
    return queue


@pytest.mark.parametrize(
    ("changes", "early"),
    [
        ({}, True),
        ({"_queue": queue_of(ready())}, False),
        ({"_seats": 1}, False),
        ({"_free": [Seat(Open())]}, False),
        ({"_queue": queue_of(ready(large=True), ready())}, False),
        ({"_service": SimpleNamespace(open=lambda: False)}, False),
    ],
    ids=["a backlog", "fewer than connections", "one may be opened", "one is free", "a large one", "the end has come"],
)
def test_a_message_is_announced_early_only_where_nobody_else_could_begin_it_sooner(
    changes: dict[str, Any], early: bool
) -> None:
    lane = Lane("email", most=2, service=SimpleNamespace(open=lambda: True), driven=False)  # type: ignore[arg-type]
    waiting = [ready(), ready()]
    lane._queue, lane._seats = queue_of(*waiting), 2
    for name, value in changes.items():
        setattr(lane, name, value)

    assert (lane.next_early() is waiting[0]) is early


def test_what_is_not_to_leave_early_after_all_is_next() -> None:
    lane = Lane("email", most=2, service=SimpleNamespace(open=lambda: True), driven=False)  # type: ignore[arg-type]
    lane._queue, lane._seats = queue_of(ready(), ready()), 2
    first = lane.next_early()
    assert first is not None

    lane.not_after_all(first)

    assert lane.next() is first
