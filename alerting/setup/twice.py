"""What a setup file names twice: the second would overwrite the first at every apply, without a word."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from alerting.setup.schema import Setup

# A field's place: ("rules", 2, "areas", 0).
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Twice:
    """Two places with the same natural key."""

    what: str
    first: Place
    second: Place


def named_twice(setup: Setup) -> Iterator[Twice]:
    """All repeats, section by section. An area that stands for each feature of a file has no key of its own."""
    named_areas = [(index, area) for index, area in enumerate(setup.areas) if area.name is not None]
    yield from _repeats("organisations", ((index, one.slug, one.slug) for index, one in enumerate(setup.organisations)))
    yield from _repeats("users", ((index, one.email, one.email) for index, one in enumerate(setup.users)))
    yield from _repeats("areas", ((index, (one.organisation, one.name), one.name or "") for index, one in named_areas))
    yield from _repeats(
        "watchlists",
        ((index, (one.organisation, one.name), one.name) for index, one in enumerate(setup.watchlists)),
    )
    yield from _repeats(
        "rules", ((index, (one.organisation, one.name), one.name) for index, one in enumerate(setup.rules))
    )
    yield from _repeats(
        "subscriptions",
        (
            (index, (one.user.lower(), one.rule, one.cadence), f"{one.cadence.value} of {one.rule} for {one.user}")
            for index, one in enumerate(setup.subscriptions)
        ),
    )
    yield from _repeats("feeds", ((index, one.name, one.name) for index, one in enumerate(setup.feeds)))
    for index, user in enumerate(setup.users):
        channels = ((number, one.name, one.name) for number, one in enumerate(user.channels))
        yield from _repeats("users", channels, within=(index, "channels"))
    for index, watchlist in enumerate(setup.watchlists):
        vessels = ((number, one.mmsi, f"MMSI {one.mmsi:09d}") for number, one in enumerate(watchlist.vessels))
        yield from _repeats("watchlists", vessels, within=(index, "vessels"))


def _repeats(section: str, keys: Iterable[tuple[int, Hashable, str]], *, within: Place = ()) -> Iterator[Twice]:
    """`keys`: index, natural key and its words. Each repeat is told with the first place of its key."""
    first: dict[Hashable, Place] = {}
    for index, key, words in keys:
        place = (section, *within, index)
        if key in first:
            yield Twice(words, first[key], place)
        else:
            first[key] = place
