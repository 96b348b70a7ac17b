"""What the tests of the send cycle share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from alerting.cycle.context import CycleContext
from alerting.cycle.counts import Counts
from alerting.cycle.run import send_cycle
from alerting.matching import matching_step
from alerting.models import Notification
from alerting.transports.limits import Limits
from resilience.models import CircuitBreaker
from tests.alerting.world import NOW, World
from vessels.models import Vessel


@pytest.fixture
def world() -> World:
    return World()


@dataclass
class Post:
    """An organisation's alerts on their way: makes them, and runs cycles at a time of its own."""

    world: World
    now: datetime = NOW

    def alert(
        self, email: str = "ana@moana.example", *, mmsi: int = 512000001, vessel: bool = True, **rule: Any
    ) -> Notification:
        """One user with one realtime notification waiting."""
        user = self.world.make_user(email)
        made = self.world.make_rule(f"Rule of {email}", **rule)
        self.world.subscribe(user, made, self.world.make_channel(user))
        return self.tell(mmsi=mmsi, email=email, vessel=vessel)

    def tell(self, *, email: str, mmsi: int = 512000001, vessel: bool = True) -> Notification:
        """An event that the rule of this user takes; other users' rules take it too."""
        if vessel and not Vessel.objects.filter(mmsi=mmsi).exists():
            self.world.make_vessel(mmsi)
        self.world.make_event(mmsi=mmsi, occurred_at=self.now)
        matching_step(now=self.now)
        return Notification.objects.filter(subscription__user__email=email).latest("pk")

    def cycle(self, cadence: str = "realtime", **changes: Any) -> Counts:
        options: dict[str, Any] = {
            "cadence": cadence,
            "clock": lambda: self.now,
            "jitter": lambda: 0.5,
            "limits": lambda kind: Limits(1),
        }
        return send_cycle(CycleContext(**options | changes))

    def later(self, **length: float) -> None:
        self.now += timedelta(**length)
        CircuitBreaker.objects.time_passes(timedelta(**length))


@pytest.fixture
def post(world: World) -> Post:
    return Post(world)
