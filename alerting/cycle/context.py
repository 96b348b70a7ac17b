"""What the stages of a send cycle share: one clock, one place for each outside thing, nothing that changes."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from django.conf import settings

from alerting.cycle.journal import Journal
from alerting.models import lane_name
from alerting.transports import Transport, transport_for
from alerting.transports.limits import Limits, Pacers, limits_for
from resilience.ledger.place import process_name

REALTIME, DIGEST = "realtime", "digest"

_START = uuid4()  # of this process; what it forks has another pid


def utc_now() -> datetime:
    """Django's `timezone.now` looks at the settings each time, several times a message."""
    return datetime.now(UTC)


def never() -> bool:
    """For a cycle that nobody stops."""
    return False


def worker_name() -> str:
    """Of a process outside a deployment; the workers of one are named by it."""
    return process_name(host=socket.gethostname(), pid=os.getpid(), start=_START)


def cycle_budget() -> float:
    """Seconds that a cycle has: it ends a little before django-q2 cuts its task off."""
    return settings.CYCLE_SECONDS - 5.0


def _ladder() -> tuple[float, ...]:
    return tuple(settings.RETRY_LADDER_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleContext:
    """Made once for a cycle. Times of the rows come from `clock`, deadlines from `monotonic`."""

    cadence: str
    clock: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    stopping: Callable[[], bool] = never  # asked between messages
    beat: Callable[[], None] = lambda: None  # a sign of life, while the cycle makes progress
    intake: Callable[[], object] = lambda: None  # between claims: what may put more into the queue
    transport: Callable[[str], Transport] = transport_for
    limits: Callable[[str], Limits] = limits_for  # by kind of channel
    pacers: Pacers = field(default_factory=Pacers)  # of this process: a provider counts across cycles
    jitter: Callable[[], float] = random.random  # 0 to 1
    journal: Journal | None = None  # of this process; without one each send waits for the commit of the last
    worker: str = field(default_factory=worker_name)
    claim_size: int = field(default_factory=lambda: settings.CLAIM_SIZE)
    lease: timedelta = field(default_factory=lambda: timedelta(seconds=settings.LEASE_SECONDS))
    send_deadline: float = field(default_factory=lambda: settings.SEND_DEADLINE_SECONDS)
    ladder: tuple[float, ...] = field(default_factory=_ladder)
    stale_after: timedelta = field(default_factory=lambda: settings.STALE_AFTER)
    late_after: timedelta = field(default_factory=lambda: settings.LATE_AFTER)
    budget: float = field(default_factory=cycle_budget)  # a cycle lasts no longer, its last message included

    def lane(self, kind: str) -> str:
        """The name of its cadence's lane for this kind of channel."""
        return lane_name(cadence=self.cadence, channel_kind=kind)
