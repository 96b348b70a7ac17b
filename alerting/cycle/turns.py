"""The order in which messages leave: organisations in turn, so that one alert waits behind nobody's flood."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest
from typing import Protocol, TypeVar


class Owned(Protocol):
    """What belongs to an organisation."""

    @property
    def organisation_id(self) -> int: ...


One = TypeVar("One", bound=Owned)


def in_turn(several: Iterable[One]) -> Iterator[One]:
    """The first of each organisation, then the second of each that has one, and so on."""
    shares: defaultdict[int, list[One]] = defaultdict(list)
    for one in several:
        shares[one.organisation_id].append(one)
    return (one for one in chain.from_iterable(zip_longest(*shares.values())) if one is not None)
