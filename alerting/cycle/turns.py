"""The order in which messages leave: organisations in turn, so that one alert waits behind nobody's flood."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import chain, zip_longest
from typing import TypeVar

One = TypeVar("One")


def in_turn(several: Iterable[One], *, owner: Callable[[One], Hashable]) -> Iterator[One]:
    """The first of each owner, then the second of each that has one, and so on."""
    shares: defaultdict[Hashable, list[One]] = defaultdict(list)
    for one in several:
        shares[owner(one)].append(one)
    return (one for one in chain.from_iterable(zip_longest(*shares.values())) if one is not None)
