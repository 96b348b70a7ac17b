"""The main process of a deployment: starts the workers, asks for a cycle every few seconds and on every poke, stops.

Exit codes: 0 after a stop that was asked for and clean; 1 when a child was killed, the workers stalled, a second
signal came, or the deadline of stopping passed. The supervisor starts it again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog
from django.conf import settings
from django.db import close_old_connections, connections
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from alerting.workers.names import POKES, TICK_SECONDS, task_path
from alerting.workers.pokes import Pokes
from alerting.workers.sentinel import Deployment, is_broken, seconds_since_look
from alerting.workers.signals import StopSignals
from alerting.workers.stop_flag import stop_begin, stopping
from resilience.incidents import flush, incident_report
from resilience.metrics import metrics_serve
from resilience.metrics_folder import metrics_folder_sweep

log = structlog.get_logger(__name__)

CLEAN, FAILED = 0, 1
# A killed child: what the others have in hand gets this long.
DRAIN_BROKEN_SECONDS = 5.0
# The sentinel looks round every half second; the database may hold it up for a while.
STALLED_AFTER_SECONDS = 45.0


def deployment_run(name: str) -> int:
    """Run until somebody says stop; returns the exit code. django-q2 must know the deployment's name already."""
    _let_django_q_log()
    connections.close_all()  # no connection may be shared with the children
    _sweep_metrics()
    deployment = Deployment()
    signals = StopSignals()
    signals.install()  # after the constructor, which installs handlers of its own
    deployment.start()
    signals.watch(first=_stop_asked, second=_end_at_once(deployment))
    stop_metrics = metrics_serve(port=settings.METRICS_PORT) if settings.METRICS_PORT else None
    log.info("worker_started", deployment=name, pid=os.getpid())
    reason = _tick_until_stopped(name, deployment, signals)
    code = _stop(deployment, failed=bool(reason))
    if stop_metrics is not None:
        stop_metrics()
    log.info("worker_stopped", deployment=name, code=code, reason=reason)
    flush(2.0)
    return code


def _sweep_metrics() -> None:
    """Numbers of an earlier run of this deployment, unless another of its name is using the folder."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        metrics_folder_sweep(Path(folder))


def _tick_until_stopped(name: str, deployment: Deployment, signals: StopSignals) -> str:
    """Returns why the deployment cannot go on, or "" when somebody asked it to stop."""
    pokes = Pokes(POKES[name], deployment=name)
    try:
        while True:
            if reason := _fault(deployment):
                return reason
            if stopping():
                return ""
            tick(name, now=timezone.now())
            _wait_for_tick(name, deployment, signals, pokes)
    finally:
        pokes.close()


def _wait_for_tick(name: str, deployment: Deployment, signals: StopSignals, pokes: Pokes) -> None:
    """Until the next tick is due, or a poke, a stop or a fault."""
    until = time.monotonic() + TICK_SECONDS[name]
    while (left := until - time.monotonic()) > 0 and not stopping() and not _fault(deployment):
        if pokes.wait(min(left, 0.5), wake_up=signals.wake_up):
            return


def _fault(deployment: Deployment) -> str:
    if is_broken():
        return "a child was killed"
    if not deployment.sentinel.is_alive():
        return f"the sentinel ended with {deployment.sentinel.exitcode}"
    if seconds_since_look() > STALLED_AFTER_SECONDS:
        return "the sentinel is stalled"
    return ""


def tick(name: str, *, now: datetime) -> bool:
    """Ask for a cycle unless one waits that nobody has taken yet. Never raises: the next tick tries again."""
    try:
        close_old_connections()
        if OrmQ.objects.filter(key=name, lock__lte=now).exists():
            return False
        async_task(task_path(name), cluster=name, task_name=f"{name} {now:%H:%M:%S.%f}")
    except DatabaseFault as fault:
        log.warning("tick_failed", deployment=name, error=str(fault))
        return False
    return True


def _stop_asked() -> None:
    log.info("stop_asked")
    stop_begin()


def _end_at_once(deployment: Deployment) -> Callable[[], None]:
    def end() -> None:
        _kill(deployment)
        os._exit(FAILED)

    return end


def _stop(deployment: Deployment, *, failed: bool) -> int:
    """Let the workers finish what they have in hand, then wait for them, but not for ever."""
    if failed:
        incident_report(
            kind="worker_deployment_failed",
            summary="A deployment of workers had to stop; its supervisor starts it again.",
            severity="critical",
            fingerprint=f"worker_deployment_failed:{os.environ.get('Q_CLUSTER_NAME', '')}",
        )
    stop_begin()
    threading.Thread(target=deployment.ask_to_stop, daemon=True).start()
    allowed = DRAIN_BROKEN_SECONDS if failed else settings.SEND_DEADLINE_SECONDS + 10.0
    deployment.sentinel.join(allowed)
    if deployment.sentinel.is_alive():
        log.warning("worker_drain_deadline_passed", seconds=allowed)
        _kill(deployment)
        return FAILED
    return FAILED if failed or deployment.sentinel.exitcode != 0 else CLEAN


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
