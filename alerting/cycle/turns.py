"""The order in which messages leave: organisations in turn, so that one alert waits behind nobody's flood."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

One = TypeVar("One")


def in_turn(several: Iterable[One], *, owner: Callable[[One], Hashable]) -> Iterator[One]:
    """The first of each owner, then the second of each that has one, and so on."""
    queue = Turns(owner=owner)
    for one in several:
        queue.put(one)
    while queue:
        yield queue.take()


class Turns(Generic[One]):
    """A queue whose owners take turns, whenever what they have came. The caller sees to threads.

    What raises for want of memory has changed nothing: how many wait is worked out before anything is moved.
    """

    def __init__(self, *, owner: Callable[[One], Hashable]) -> None:
        self._owner = owner
        self._back: deque[One] = deque()
        self._shares: OrderedDict[Hashable, deque[One]] = OrderedDict()  # none is empty; whose turn it is comes first
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def put(self, one: One) -> None:
        """Behind all others of its owner."""
        owner, waiting = self._owner(one), self._waiting + 1
        share = self._shares.get(owner)
        if share is None:
            self._shares[owner] = deque((one,))
        else:
            share.append(one)
        self._waiting = waiting

    def put_back(self, one: One) -> None:
        """Before all others: it had its turn."""
        waiting = self._waiting + 1
        self._back.appendleft(one)
        self._waiting = waiting

    def first(self) -> One:
        """What `take` takes next. Raises `LookupError` when nothing waits."""
        return self._back[0] if self._back else self._shares[self._whose_turn()][0]

    def take(self) -> One:
        """Raises `LookupError` when nothing waits."""
        waiting = self._waiting - 1
        if self._back:
            one = self._back.popleft()
        else:
            owner = self._whose_turn()
            share = self._shares[owner]
            one = share.popleft()
            if share:
                self._shares.move_to_end(owner)
            else:
                del self._shares[owner]
        self._waiting = waiting
        return one

    def _whose_turn(self) -> Hashable:
        for owner in self._shares:
            return owner
        raise LookupError("nothing waits")
