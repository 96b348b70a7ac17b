"""How much a cycle takes in hand follows what leaves."""

from __future__ import annotations

import pytest

from alerting.cycle.pace import FEWEST, FIRST, FIRST_EACH, FIRST_MOST, Pace


class Way:
    """A way out that takes `rate` messages a second."""

    def __init__(self, rate: float, *, most: int = 1000, connections: int = 10, per_second: float = 0.0) -> None:
        self.now, self.rate, self.unfinished = 0.0, rate, 0
        self.connections = connections
        self.pace = Pace(
            connections=lambda: self.connections, most=most, monotonic=lambda: self.now, per_second=per_second
        )
        self.claimed: list[int] = []

    def rounds(self, number: int) -> int:
        """Returns the most that was in hand in the last round."""
        for _ in range(number):
            taken = self.pace.room(self.unfinished)
            self.claimed.append(taken)
            self.pace.put(taken)
            self.unfinished += taken
            in_hand = self.unfinished
            gone = max(self.unfinished - self.pace.low(), 1)
            self.now += gone / self.rate
            self.unfinished -= gone
            self.pace.left(self.unfinished)
        return in_hand


def test_half_a_second_of_it_is_in_hand() -> None:
    assert 125 <= Way(300).rounds(12) <= 175


def test_never_more_than_the_setting_and_never_fewer_than_a_few() -> None:
    assert Way(1e6).rounds(12) == 1000
    assert Way(1).rounds(12) == FEWEST
    assert Way(1e6, most=5).rounds(12) == 5


def test_on_a_slow_way_no_connection_waits_for_a_claim() -> None:
    way = Way(30, connections=60)

    assert way.rounds(12) == 90
    assert way.pace.low() == 60


def test_a_server_that_wants_fewer_connections_gets_no_more_in_hand_than_those_need() -> None:
    way = Way(5, connections=60)
    way.rounds(12)
    way.connections = 5

    assert way.rounds(12) == FEWEST


@pytest.mark.parametrize("most", [50, 64, 5, 1])
def test_a_claim_size_below_the_connections_is_kept_to_and_every_claim_is_worth_it(most: int) -> None:
    way = Way(500, connections=60, most=most)

    assert max(way.rounds(1) for _ in range(12)) == most
    assert min(way.claimed) >= most / 3


def test_a_limit_of_messages_a_second_keeps_what_is_in_hand_short() -> None:
    """However many connections there are: a lease must not run out before its last message may leave."""
    assert Way(1, connections=60, per_second=1).rounds(1) == 10
    assert Way(1, connections=60, per_second=1).rounds(12) == 10
    assert Way(0.01, connections=60, per_second=0.01).rounds(1) == 1


def test_before_anything_is_known_many_connections_have_enough_to_begin_with() -> None:
    assert Way(1e6, connections=60).rounds(1) == 60 * FIRST_EACH
    assert Way(1e6, connections=60, most=50).rounds(1) == 50
    assert Way(1e6, connections=200).rounds(1) == FIRST_MOST


def test_one_quick_moment_does_not_fill_the_hands() -> None:
    way = Way(1e6)

    assert [way.rounds(1), way.rounds(1), way.rounds(1)] == [FIRST, 2 * FIRST, 4 * FIRST]


def test_a_way_that_slows_down_takes_fewer() -> None:
    way = Way(500)
    way.rounds(12)
    way.rate = 40

    assert way.rounds(12) <= 25


def test_a_moment_in_which_nothing_leaves_changes_nothing() -> None:
    way = Way(300)
    before = way.pace.room(0)
    way.pace.left(0)

    assert way.pace.room(0) == before == FIRST
