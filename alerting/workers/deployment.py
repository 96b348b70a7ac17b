"""The main process of a deployment: starts the workers, watches that they can work, stops them.

Nothing can hold it up: what it needs of a database is asked for in threads that it waits for some seconds at most, and
its end has a deadline of its own, whatever blocks it by then, be it a log that nobody reads. Exit codes: 0 after a stop
that was asked for and clean; 1 when a child was killed, the workers stalled, a second signal came, the deadline of
stopping passed, or it stumbled itself. The supervisor starts it again.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog
from django.conf import settings
from django.db import connections
from django.utils import timezone

from alerting.workers.deaths import Dead, death_tell, stall_tell
from alerting.workers.in_hand import messages_in_hand
from alerting.workers.names import heartbeat_name
from alerting.workers.pulse import Stillness
from alerting.workers.sentinel import Deployment, is_broken, looks
from alerting.workers.signals import StopSignals
from alerting.workers.stop_flag import stop_begin, stopping
from resilience.incidents import flush, incident_report
from resilience.ledger.book import Run
from resilience.ledger.causes import cause_of
from resilience.ledger.keeper import RunKeeper, within
from resilience.ledger.models import Cause
from resilience.metrics_folder import metrics_folder_sweep
from resilience.metrics_serving import metrics_begin
from resilience.systemd import systemd_tell

log = structlog.get_logger(__name__)

CLEAN, FAILED = 0, 1
LOOK_SECONDS, DRAIN_LOOK_SECONDS = 0.5, 0.2
# The sentinel looks round every half second.
STALLED_AFTER_SECONDS = 7.0
SENTINEL_STALLED = "the sentinel is stalled"
# After a death: what the others have in hand gets this long.
DRAIN_BROKEN_SECONDS = 4.5
LEDGER_SECONDS = 2.0
# What may follow the drain: kill, tell, close the ledger. Past it the process ends in the middle of whatever it does.
END_SECONDS = 8.0
# The same of a deployment that cannot work, from when that is noticed: less than 15 with the seconds until then, which
# are 6, of a start 10.5, and of a sentinel that stands still 7.5.
BROKEN_END_SECONDS, NOT_STARTED_END_SECONDS, STALLED_END_SECONDS = 8.5, 4.0, 7.0
WATCHDOG_SECONDS = 5.0  # systemd is told that often; its WatchdogSec is a multiple


def deployment_run(name: str) -> int:
    """Run until somebody says stop; returns the exit code. django-q2 must know the deployment's name already."""
    _let_django_q_log()
    connections.close_all()  # no connection may be shared with the children
    _sweep_metrics()
    run = Run(part=heartbeat_name(name), instance=settings.WORKER_INSTANCE, began_at=timezone.now())
    deployment = Deployment(run)
    signals = StopSignals()
    signals.install()  # after the constructor, which installs handlers of its own
    keeper = RunKeeper(run, in_hand=messages_in_hand)
    try:
        return _run(name, deployment, signals, keeper)
    except BaseException as error:
        _fall(deployment, keeper, error)


def _run(name: str, deployment: Deployment, signals: StopSignals, keeper: RunKeeper) -> int:
    run = deployment.run
    try:
        deployment.start()
    except RuntimeError as fault:
        return _not_started(deployment, fault)
    signals.watch(first=_stop_asked(deployment), second=_end_at_once(deployment, keeper))
    keeper.begin()
    stop_metrics = metrics_begin(name, host=settings.METRICS_HOST, port=settings.METRICS_PORT)
    log.info("worker_started", deployment=name, instance=run.instance, pid=os.getpid())
    reason = _watch(deployment, signals)
    code = _stop(deployment, keeper, reason=reason)
    stop_metrics()
    log.info("worker_stopped", deployment=name, code=code, reason=reason)
    flush(2.0)
    return code


def _sweep_metrics() -> None:
    """Numbers of an earlier run of this deployment, unless another of its name is using the folder."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        metrics_folder_sweep(Path(folder))


def _watch(deployment: Deployment, signals: StopSignals) -> str:
    """Returns why the deployment cannot go on, or "" when somebody asked it to stop."""
    systemd_tell("READY=1")
    told_at = time.monotonic()
    sentinel = Stillness(looks, now=told_at)
    while not (reason := _fault(deployment, sentinel)) and not stopping():
        if time.monotonic() - told_at >= WATCHDOG_SECONDS:
            systemd_tell("WATCHDOG=1")
            told_at = time.monotonic()
        select.select([signals.wake_up], [], [], LOOK_SECONDS)
    systemd_tell("STOPPING=1")
    return reason or _fault(deployment, sentinel)  # a death says stop too: it must not look like one that was asked for


def _fault(deployment: Deployment, sentinel: Stillness) -> str:
    if is_broken():
        return "a child was killed, or nothing moved any more"
    if not deployment.sentinel.is_alive():
        return f"the sentinel ended with {deployment.sentinel.exitcode}"
    return SENTINEL_STALLED if sentinel.seconds(time.monotonic()) > STALLED_AFTER_SECONDS else ""


def _stop_asked(deployment: Deployment) -> Callable[[], None]:
    """Nothing is logged by whoever hears the signals: where nobody reads the log, it would not hear the next."""

    def stop() -> None:
        stop_begin()
        _end_within(deployment, settings.SEND_DEADLINE_SECONDS + 10.0 + END_SECONDS)

    return stop


def _end_at_once(deployment: Deployment, keeper: RunKeeper) -> Callable[[], None]:
    def end() -> None:
        _end_within(deployment, LEDGER_SECONDS + 3.0)  # first: the log may block
        _kill(deployment)
        log.warning("stop_forced")
        keeper.end(seconds=LEDGER_SECONDS)
        os._exit(FAILED)

    return end


def _end_within(deployment: Deployment, seconds: float) -> None:
    """After that the process ends, whatever its other threads wait for."""

    def end() -> None:
        if deployment.sentinel is not None:
            deployment.sentinel.kill()
        os._exit(FAILED)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _fall(deployment: Deployment, keeper: RunKeeper, error: BaseException) -> NoReturn:
    """This process stumbled. Nobody guards the workers then, and an ordinary exit would wait for them for ever."""
    _end_within(deployment, END_SECONDS)
    try:
        _kill(deployment)
        incident_report(
            kind="worker_deployment_failed",
            summary="The main process of a deployment of workers raised; its supervisor starts it again.",
            severity="critical",
            fingerprint=_fingerprint(),
            error=error,
        )
        _close_ledger(keeper, deployment.run)
        flush(2.0)
    finally:
        os._exit(FAILED)


def _not_started(deployment: Deployment, fault: RuntimeError) -> int:
    _end_within(deployment, NOT_STARTED_END_SECONDS)  # nobody hears signals yet
    _kill(deployment)
    incident_report(
        kind="worker_deployment_failed",
        summary=f"A deployment of workers did not start: {fault}",
        severity="critical",
        fingerprint=_fingerprint(),
    )
    flush(2.0)
    return FAILED


def _stop(deployment: Deployment, keeper: RunKeeper, *, reason: str) -> int:
    """Let the workers finish what they have in hand, then wait for them, but not for ever."""
    stop_begin()
    if reason == SENTINEL_STALLED:
        allowed, ended = 0.0, STALLED_END_SECONDS
    elif reason:
        allowed, ended = DRAIN_BROKEN_SECONDS, BROKEN_END_SECONDS
    else:
        allowed = settings.SEND_DEADLINE_SECONDS + 10.0
        ended = allowed + END_SECONDS
    _end_within(deployment, ended)
    threading.Thread(target=deployment.ask_to_stop, daemon=True).start()
    log.info("worker_stopping", reason=reason)
    if reason:
        _tell(deployment, reason)
    late = not _drained(deployment, seconds=allowed)
    if late:
        log.warning("worker_drain_deadline_passed", seconds=allowed)
        _kill(deployment)
    _close_ledger(keeper, deployment.run)
    return FAILED if reason or late or is_broken() or deployment.sentinel.exitcode != 0 else CLEAN


def _drained(deployment: Deployment, *, seconds: float) -> bool:
    """False if the sentinel is not done by then. A child that is killed meanwhile shortens the time: it may have held
    a lock that the others wait for."""
    broken, until = is_broken(), time.monotonic() + seconds
    while deployment.sentinel.is_alive() and time.monotonic() < until:
        deployment.sentinel.join(DRAIN_LOOK_SECONDS)
        if is_broken() and not broken:
            _end_within(deployment, BROKEN_END_SECONDS)
            broken, until = True, min(until, time.monotonic() + DRAIN_BROKEN_SECONDS)
    return not deployment.sentinel.is_alive()


def _tell(deployment: Deployment, reason: str) -> None:
    """The sentinel has told of its children; only this process can tell of the sentinel."""
    run, code = deployment.run, deployment.sentinel.exitcode
    incident_report(  # first: it is told by itself, and what follows may wait for a database that is away
        kind="worker_deployment_failed",
        summary="A deployment of workers had to stop; its supervisor starts it again.",
        severity="critical",
        fingerprint=_fingerprint(),
        details={"reason": reason, "instance": run.instance},
    )
    if code is not None and not is_broken():
        cause = cause_of(code, timed_out=False, oom_kills=0)
        within(LEDGER_SECONDS, partial(death_tell, run, Dead(deployment.sentinel.pid, "sentinel", cause, code)))
    elif not is_broken():
        within(LEDGER_SECONDS, partial(stall_tell, run, reason))


def _close_ledger(keeper: RunKeeper, run: Run) -> None:
    """What was in hand when the workers were killed is told like any death."""
    for work in keeper.unfinished(seconds=LEDGER_SECONDS):
        within(LEDGER_SECONDS, partial(death_tell, run, Dead(work.pid, "worker", Cause.FORCED, None)))
    keeper.end(seconds=LEDGER_SECONDS)


def _fingerprint() -> str:
    return f"worker_deployment_failed:{os.environ.get('Q_CLUSTER_NAME', '')}"


def _kill(deployment: Deployment) -> None:
    """The sentinel; the kernel ends its children with it."""
    if deployment.sentinel is not None and deployment.sentinel.pid is not None:
        deployment.sentinel.kill()
        deployment.sentinel.join(2)


def _let_django_q_log() -> None:
    """django-q2 made a handler of its own because logging was not configured when it was imported."""
    logger = logging.getLogger("django-q")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)  # three lines for every tick otherwise
