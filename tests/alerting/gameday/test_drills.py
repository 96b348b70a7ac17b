"""Every drill is a test: its promises hold."""

from __future__ import annotations

import pytest

from alerting.gameday.drill import Drill
from alerting.gameday.drills import DRILLS
from alerting.gameday.runner import GameDay

# Half a minute each: they wait for workers that die and start again.
SLOW = {"worker-killed", "worker-out-of-memory", "worker-memory-limit", "poison-message", "database-restarted"}


def _parameter(drill: Drill) -> object:
    return pytest.param(drill, id=drill.name, marks=[pytest.mark.slow] if drill.name in SLOW else [])


@pytest.mark.parametrize("drill", [_parameter(drill) for drill in DRILLS.values()])
def test_the_promises_of_a_drill_hold(day: GameDay, drill: Drill) -> None:
    verdict = day.play(drill)

    if verdict.skipped:
        pytest.skip(verdict.skipped)
    assert verdict.kept, "\n".join(one.line() for one in verdict.promises)
