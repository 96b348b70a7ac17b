"""The order within a claim: organisations in turn, so that one alert does not wait behind another's whole share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest

from alerting.cycle.render import Written


def in_turn(written: Iterable[Written]) -> Iterator[Written]:
    """The first of each organisation, then the second of each that has one, and so on."""
    shares: defaultdict[int, list[Written]] = defaultdict(list)
    for one in written:
        shares[one.checked.message.organisation_id].append(one)
    return (one for one in chain.from_iterable(zip_longest(*shares.values())) if one is not None)
