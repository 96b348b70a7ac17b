"""One game day for all drills of a test run: its template is migrated once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerting.gameday.runner import GameDay, game_day


@pytest.fixture(scope="package")
def day() -> Iterator[GameDay]:
    with game_day() as found:
        yield found
