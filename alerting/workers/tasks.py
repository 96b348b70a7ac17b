"""What the workers run: one task for each deployment. A task returns None and never raises an `Exception` out.

A step that fails is an incident and does not keep the next step from running. django-q2's own time-out is a
`SystemExit` and passes: swallowed, it would make the task run for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
from django.db import close_old_connections
from django.utils import timezone

from alerting.cycle.context import DIGEST, REALTIME, CycleContext
from alerting.cycle.digests import digest_step
from alerting.cycle.run import send_cycle
from alerting.matching import matching_step
from alerting.workers.housekeeping import housekeeping_steps
from alerting.workers.names import heartbeat_name
from alerting.workers.stop_flag import stopping
from resilience.guard import run_guarded
from resilience.heartbeats import beat
from resilience.sentry import sentry_task

log = structlog.get_logger(__name__)


def realtime() -> None:
    """Match what the watch noticed, then send what is due at once."""
    with sentry_task("realtime"):
        _step("matching", partial(_until_done, matching_step))
        _step("send_cycle", lambda: send_cycle(_context(REALTIME)))


def digest() -> None:
    """Make the digests that are due, then send them."""
    with sentry_task("digest"):
        _step("digests", partial(_until_done, digest_step))
        _step("send_cycle", lambda: send_cycle(_context(DIGEST)))


def housekeeping() -> None:
    """Reap, end what is stale, summarise, look for silence."""
    with sentry_task("housekeeping"):
        now = timezone.now()
        for name, step in housekeeping_steps():
            if stopping():
                return
            _step(name, partial(step, now=now))
        _step("heartbeat", lambda: beat(heartbeat_name("housekeeping"), now=timezone.now()))


def _context(cadence: str) -> CycleContext:
    return CycleContext(
        cadence=cadence,
        stopping=stopping,
        beat=lambda: beat(heartbeat_name(cadence), now=timezone.now()),
    )


def _until_done(step: Callable[..., int], *, most: int = 20) -> None:
    """A step takes a bounded bite; take some more while there is something, so that the sender also gets its turn."""
    for _ in range(most):
        now: datetime = timezone.now()
        if stopping() or not step(now=now):
            return


def _step(name: str, work: Callable[[], object]) -> None:
    close_old_connections()
    run_guarded(work, name=name, panic_event="panic_in_send_cycle" if name == "send_cycle" else f"{name}_failed")
