"""Connections that outlive a cycle: used again, never by two at once, and closed when nobody uses them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alerting.transports import Outgoing, nothing
from alerting.transports.kept import KEEP_SECONDS, KeptTransports


class Line:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.sent = 0
        self.closed = False

    def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        self.sent += 1
        return "250 OK"

    def close(self) -> None:
        self.closed = True


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[Line] = []
        self.pool = KeptTransports(self.make, monotonic=lambda: self.now)

    def make(self, kind: str) -> Line:
        self.lines.append(Line(kind))
        return self.lines[-1]


@pytest.fixture
def world() -> World:
    return World()


def test_what_was_given_back_is_used_again(world: World) -> None:
    first = world.pool.transport("email")
    first.close()
    world.pool.transport("email").close()

    assert [line.closed for line in world.lines] == [False]


def test_nobody_shares_one_and_kinds_are_kept_apart(world: World) -> None:
    world.pool.transport("email")
    world.pool.transport("email").close()
    world.pool.transport("slack")

    assert [line.kind for line in world.lines] == ["email", "email", "slack"]


def test_what_nobody_uses_is_closed_and_what_is_lent_is_left_alone(world: World) -> None:
    idle, lent = world.pool.transport("email"), world.pool.transport("email")
    idle.close()
    world.now += KEEP_SECONDS

    world.pool.sweep()
    lent.close()
    world.pool.sweep()

    assert [line.closed for line in world.lines] == [True, False]
    world.pool.transport("email")
    assert len(world.lines) == 2


def test_the_one_used_last_comes_first_so_that_the_rest_can_be_let_go(world: World) -> None:
    several = [world.pool.transport("email") for _ in range(3)]
    for one in several:
        one.close()
    for _ in range(3):
        world.now += KEEP_SECONDS / 2
        world.pool.transport("email").close()
        world.pool.sweep()

    assert [line.closed for line in world.lines] == [True, True, False]
