"""The queue whose owners take turns: who waits for whom, and that it loses and doubles nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from operator import itemgetter
from typing import NoReturn

import pytest

from alerting.cycle.turns import Turns, in_turn

One = tuple[str, int]


def queue_of(*several: One) -> Turns[One]:
    queue: Turns[One] = Turns(owner=itemgetter(0))
    for each in several:
        queue.put(each)
    return queue


def take_all(queue: Turns[One]) -> list[One]:
    return [queue.take() for _ in range(len(queue))]


def test_owners_take_turns_and_each_keeps_its_own_order() -> None:
    queue = queue_of(("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1), ("c", 2))

    assert take_all(queue) == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("c", 2), ("a", 3)]


def test_one_that_comes_late_waits_for_one_of_each_other_owner() -> None:
    queue = queue_of(*(("flood", number) for number in range(1000)), *(("other", number) for number in range(1000)))
    queue.take()
    queue.put(("late", 0))

    assert take_all(queue).index(("late", 0)) == 2


def test_an_owner_whose_last_was_taken_begins_anew_behind_the_others() -> None:
    queue = queue_of(("a", 1), ("b", 1), ("b", 2))
    assert queue.take() == ("a", 1)
    queue.put(("a", 2))

    assert take_all(queue) == [("b", 1), ("a", 2), ("b", 2)]


def test_what_is_put_back_is_next_and_takes_nobodys_turn() -> None:
    queue = queue_of(("a", 1), ("a", 2), ("b", 1))
    first, second = queue.take(), queue.take()
    queue.put_back(second)
    queue.put_back(first)

    assert queue.first() == first
    assert take_all(queue) == [("a", 1), ("b", 1), ("a", 2)]


def test_nothing_waits_in_an_empty_one() -> None:
    queue = queue_of(("a", 1))
    queue.take()

    assert not queue
    with pytest.raises(LookupError):
        queue.first()
    with pytest.raises(LookupError):
        queue.take()


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_doubled_whatever_is_done_with_it(seed: int) -> None:
    chance, queue = random.Random(seed), queue_of()
    put: list[One] = []
    taken: list[One] = []
    for number in range(2000):
        if taken and chance.random() < 0.2:
            queue.put_back(taken.pop())
        elif queue and chance.random() < 0.6:
            first = queue.first()
            taken.append(queue.take())
            assert taken[-1] is first
        else:
            put.append((chance.choice("abcdefg"), number))
            queue.put(put[-1])
        assert len(queue) == len(put) - len(taken)

    assert sorted(taken + take_all(queue)) == sorted(put)


def test_a_full_one_goes_out_as_a_claim_is_put_in_turn() -> None:
    several = [(owner, number) for owner, many in (("a", 5), ("b", 2), ("c", 9)) for number in range(many)]
    rounds = [[("a", 0), ("b", 0), ("c", 0)], [("a", 1), ("b", 1), ("c", 1)]]
    rounds += [[("a", number), ("c", number)] for number in (2, 3, 4)]
    rounds += [[("c", number)] for number in (5, 6, 7, 8)]
    expected = [one for each in rounds for one in each]

    assert take_all(queue_of(*several)) == list(in_turn(several, owner=itemgetter(0))) == expected


class NoRoom(int):
    """A number with no memory for the next one."""

    def __add__(self, other: object) -> NoReturn:
        raise MemoryError

    __sub__ = __add__


@pytest.mark.parametrize("step", [lambda q: q.put(("a", 9)), lambda q: q.put_back(("a", 9)), lambda q: q.take()])
def test_a_step_for_which_there_is_no_memory_changes_nothing(step: Callable[[Turns[One]], object]) -> None:
    queue = queue_of(("a", 1), ("a", 2), ("b", 1))
    queue._waiting = NoRoom(3)

    with pytest.raises(MemoryError):
        step(queue)

    queue._waiting = 3
    assert take_all(queue) == [("a", 1), ("b", 1), ("a", 2)]
    with pytest.raises(LookupError):
        queue.take()
