"""What the workers run: one task for each deployment. A task returns None and never raises an `Exception` out.

A step that fails is an incident and does not keep the next step from running. django-q2's own time-out is a
`SystemExit` and passes: swallowed, it would make the task run for ever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial

import structlog
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from alerting.cycle.context import DIGEST, REALTIME, CycleContext, cycle_budget
from alerting.cycle.digests import digest_step
from alerting.cycle.run import send_cycle
from alerting.matching import BATCH, matching_step
from alerting.transports import transport_for
from alerting.transports.kept import KeptTransports
from alerting.transports.limits import Pacers
from alerting.workers.housekeeping import housekeeping_steps
from alerting.workers.journals import journal_here, recovery_step
from alerting.workers.names import heartbeat_name
from alerting.workers.stop_flag import stopping
from alerting.workers.this_worker import step_note, this_run, this_worker_name
from resilience.guard import Guard, PolledStop
from resilience.guard_metrics import GUARD_METRICS
from resilience.heartbeats import beat
from resilience.ledger.book import work_in_hand
from resilience.observers import GuardLog
from resilience.sentry import sentry_task

log = structlog.get_logger(__name__)

BITING_SECONDS = 1.0
DIGESTS_SECONDS = 5.0  # between two looks for windows that are due, while a cycle goes on
# A cycle on an empty queue takes milliseconds and need not say so twice.
BEAT_SECONDS = 1.0
_last_beat = [float("-inf")]
_KEPT = KeptTransports(transport_for)
_PACERS = Pacers()


def realtime() -> None:
    """Match what the watch noticed, and send what is due at once.

    Matching has its turn between claims too: however much there is to send, a new event waits for one claim.
    """
    began = time.monotonic()
    with _task("realtime"):
        _recover()
        _match()
        _step("send_cycle", lambda: send_cycle(_context(REALTIME, began=began, intake=partial(_meanwhile, _match))))


def digest() -> None:
    """Make the digests that are due, then send them. What falls due meanwhile is made between claims."""
    began = time.monotonic()
    meanwhile = _no_oftener(DIGESTS_SECONDS, partial(_meanwhile, _digests))
    with _task("digest"):
        _recover()
        _digests()
        _step("send_cycle", lambda: send_cycle(_context(DIGEST, began=began, intake=meanwhile)))


def housekeeping() -> None:
    """Reap, end what is stale, summarise, look for silence."""
    with _task("housekeeping"):
        now = timezone.now()
        for name, step in housekeeping_steps():
            _step(name, partial(step, now=now))
        _step("heartbeat", lambda: _beat("housekeeping"))


@contextmanager
def _task(name: str) -> Iterator[None]:
    """In the ledger while it lasts: what stays there was in hand when its process died."""
    close_old_connections()
    _KEPT.sweep()
    with sentry_task(name), work_in_hand(this_run(), name, now=timezone.now()):
        yield
        step_note("")


def _context(cadence: str, *, began: float, intake: Callable[[], object] = lambda: None) -> CycleContext:
    """The cycle gets what is left of its task's time."""
    return CycleContext(
        cadence=cadence,
        intake=intake,
        transport=_KEPT.transport,
        journal=journal_here(),
        pacers=_PACERS,
        worker=this_worker_name(),
        budget=cycle_budget() - (time.monotonic() - began),
        stopping=stopping,
        beat=partial(_beat, cadence),
    )


def _beat(deployment: str) -> None:
    """Of this kind, for housekeeping that looks for silence, and of this one, for its own `--check`."""
    if time.monotonic() - _last_beat[0] >= BEAT_SECONDS:
        beat(heartbeat_name(deployment), now=timezone.now(), instance=settings.WORKER_INSTANCE)
        _last_beat[0] = time.monotonic()


def _recover() -> None:
    """Here too: where each deployment has a disk of its own, nobody else can."""
    _step("recovery", recovery_step)


def _match() -> None:
    _step("matching", partial(_bites, matching_step, full=BATCH))


def _digests() -> None:
    _step("digests", partial(_bites, digest_step, full=1))


def _meanwhile(work: Callable[[], None]) -> None:
    """In the middle of a cycle, between its claims."""
    work()
    step_note("send_cycle")


def _no_oftener(seconds: float, work: Callable[[], None]) -> Callable[[], None]:
    """A call within so many seconds of the last one, or of the start, does nothing."""
    done_at = time.monotonic()

    def seldom() -> None:
        nonlocal done_at
        if time.monotonic() - done_at >= seconds:
            done_at = time.monotonic()
            work()

    return seldom


def _bites(step: Callable[..., int], *, full: int) -> None:
    """A step takes a bounded bite. A full one was not all there is: take more, but leave the sender its turn."""
    until = time.monotonic() + BITING_SECONDS
    while not stopping() and step(now=timezone.now()) >= full and time.monotonic() < until:
        continue


def _step(name: str, work: Callable[[], object]) -> None:
    """Guarded by itself; not begun once the deployment stops."""

    def noted(_: object) -> None:
        step_note(name)
        close_old_connections()
        work()

    _guard(name).run(noted)


@cache
def _guard(name: str) -> Guard:
    event = "panic_in_send_cycle" if name == "send_cycle" else f"{name}_failed"
    told = GuardLog(panic_event=event, failure_event=event, failure_level=logging.ERROR)
    return Guard(name, stop=PolledStop(stopping), observers=(GUARD_METRICS, told))
