"""The main process of a deployment: starts the workers, watches that they can work, stops them.

It talks to no database itself, so that nothing can hold it up. Exit codes: 0 after a stop that was asked for and
clean; 1 when a child was killed, the workers stalled, a second signal came, or the deadline of stopping passed. The
supervisor starts it again.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from django.conf import settings
from django.db import connections
from django.utils import timezone

from alerting.workers.deaths import Dead, death_tell, stall_tell
from alerting.workers.in_hand import messages_in_hand
from alerting.workers.names import heartbeat_name
from alerting.workers.sentinel import Deployment, is_broken, seconds_since_look
from alerting.workers.signals import StopSignals
from alerting.workers.stop_flag import stop_begin, stopping
from resilience.incidents import flush, incident_report
from resilience.ledger.book import Run
from resilience.ledger.causes import cause_of
from resilience.ledger.keeper import RunKeeper
from resilience.ledger.models import Cause
from resilience.metrics import metrics_serve
from resilience.metrics_folder import metrics_folder_sweep
from resilience.systemd import systemd_tell

log = structlog.get_logger(__name__)

CLEAN, FAILED = 0, 1
LOOK_SECONDS = 0.5
# The sentinel looks round every half second.
STALLED_AFTER_SECONDS = 7.0
# After a death: what the others have in hand gets this long. All of it is less than 15 seconds.
DRAIN_BROKEN_SECONDS = 5.0
LEDGER_SECONDS = 2.0
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
        deployment.start()
    except RuntimeError as fault:
        return _not_started(deployment, fault)
    signals.watch(first=_stop_asked, second=_end_at_once(deployment, keeper))
    keeper.begin()
    stop_metrics = metrics_serve(port=settings.METRICS_PORT) if settings.METRICS_PORT else None
    log.info("worker_started", deployment=name, instance=run.instance, pid=os.getpid())
    reason = _watch(deployment, signals)
    code = _stop(deployment, keeper, run, reason=reason)
    if stop_metrics is not None:
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
    while not (reason := _fault(deployment)) and not stopping():
        if time.monotonic() - told_at >= WATCHDOG_SECONDS:
            systemd_tell("WATCHDOG=1")
            told_at = time.monotonic()
        select.select([signals.wake_up], [], [], LOOK_SECONDS)
    systemd_tell("STOPPING=1")
    return reason


def _fault(deployment: Deployment) -> str:
    if is_broken():
        return "a child was killed, or nothing moved any more"
    if not deployment.sentinel.is_alive():
        return f"the sentinel ended with {deployment.sentinel.exitcode}"
    if seconds_since_look() > STALLED_AFTER_SECONDS:
        return "the sentinel is stalled"
    return ""


def _stop_asked() -> None:
    log.info("stop_asked")
    stop_begin()


def _end_at_once(deployment: Deployment, keeper: RunKeeper) -> Callable[[], None]:
    def end() -> None:
        log.warning("stop_forced")
        _kill(deployment)
        keeper.end(seconds=LEDGER_SECONDS)
        os._exit(FAILED)

    return end


def _not_started(deployment: Deployment, fault: RuntimeError) -> int:
    incident_report(
        kind="worker_deployment_failed",
        summary=f"A deployment of workers did not start: {fault}",
        severity="critical",
        fingerprint=_fingerprint(),
    )
    _kill(deployment)
    flush(2.0)
    return FAILED


def _stop(deployment: Deployment, keeper: RunKeeper, run: Run, *, reason: str) -> int:
    """Let the workers finish what they have in hand, then wait for them, but not for ever."""
    stop_begin()
    if reason:
        _tell(deployment, run, reason)
    threading.Thread(target=deployment.ask_to_stop, daemon=True).start()
    stalled = seconds_since_look() > STALLED_AFTER_SECONDS
    allowed = (0.0 if stalled else DRAIN_BROKEN_SECONDS) if reason else settings.SEND_DEADLINE_SECONDS + 10.0
    deployment.sentinel.join(allowed)
    late = deployment.sentinel.is_alive()
    if late:
        log.warning("worker_drain_deadline_passed", seconds=allowed)
        _kill(deployment)
    _close_ledger(keeper, run)
    return FAILED if reason or late or deployment.sentinel.exitcode != 0 else CLEAN


def _tell(deployment: Deployment, run: Run, reason: str) -> None:
    """The sentinel has told of its children; only this process can tell of the sentinel."""
    code = deployment.sentinel.exitcode
    if code is not None and not is_broken():
        cause = cause_of(code, timed_out=False, oom_kills=0)
        death_tell(run, Dead(deployment.sentinel.pid, "sentinel", cause, code))
    elif not is_broken():
        stall_tell(run, reason)
    incident_report(
        kind="worker_deployment_failed",
        summary="A deployment of workers had to stop; its supervisor starts it again.",
        severity="critical",
        fingerprint=_fingerprint(),
        details={"reason": reason, "instance": run.instance},
    )


def _close_ledger(keeper: RunKeeper, run: Run) -> None:
    """What was in hand when the workers were killed is told like any death."""
    for work in keeper.unfinished(seconds=LEDGER_SECONDS):
        death_tell(run, Dead(work.pid, "worker", Cause.FORCED, None))
    keeper.end(seconds=LEDGER_SECONDS)


def _fingerprint() -> str:
    return f"worker_deployment_failed:{os.environ.get('Q_CLUSTER_NAME', '')}"


def _kill(deployment: Deployment) -> None:
    """The sentinel; the kernel ends its children with it."""
    if deployment.sentinel is not None and deployment.sentinel.pid is not None:
        try:
            os.kill(deployment.sentinel.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        deployment.sentinel.join(2)


def _let_django_q_log() -> None:
    """django-q2 made a handler of its own because logging was not configured when it was imported."""
    logger = logging.getLogger("django-q")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)  # three lines for every tick otherwise
