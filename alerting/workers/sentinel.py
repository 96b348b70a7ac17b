"""django-q2's cluster with a sentinel that reports deaths, and ends the deployment where it could only stall.

A process killed by a signal may have held the lock of the queue: whoever waits for that lock waits for ever, and
the stock sentinel goes on as if nothing had happened. So a death by signal stops the whole deployment, and its
supervisor starts a clean one. No process outlives its parent: the kernel sees to it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
import uuid
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawValue
from typing import Any

import structlog
from django_q.cluster import Cluster, Sentinel, get_mp_context
from django_q.conf import Conf
from django_q.worker import worker

from alerting.workers.stop_flag import stop_begin
from resilience.incidents import flush, incident_report
from resilience.metrics import mark_process_dead

log = structlog.get_logger(__name__)

_PR_SET_PDEATHSIG = 1  # prctl(2)

# Shared with the main process, without locks: 1 when a child was killed; when the sentinel last looked round.
_broken = RawValue("b", 0)
_looked_at = RawValue("d", 0.0)


def is_broken() -> bool:
    return bool(_broken.value)


def seconds_since_look() -> float:
    """How long the sentinel has not looked at its children (0 before its first look)."""
    return time.monotonic() - _looked_at.value if _looked_at.value else 0.0


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def _in_child(parent: int, target: Callable[..., Any], *args: Any) -> None:
    """Where every child begins: bound to its parent, deaf to signals that are meant for the main process.

    A SIGTERM to the whole process group must not cut a message off: the main process hears it and says stop.
    """
    die_with_parent(parent)
    signal.set_wakeup_fd(-1)  # it is the main process's
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    target(*args)


class ReportingSentinel(Sentinel):  # type: ignore[misc]
    """Guards the workers; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        signal.set_wakeup_fd(-1)
        super().__init__(*args, **kwargs)

    def start(self) -> None:
        # Sentinel's constructor had set SIGTERM back to its default
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        super().start()

    def spawn_process(self, target: Any, *args: Any) -> Any:
        process = get_mp_context().Process(
            target=_in_child, args=(os.getpid(), target, *args), name=f"Process-{uuid.uuid4().hex}"
        )
        process.daemon = Conf.DAEMONIZE_WORKERS if target is worker else True
        if target is worker:
            process.timer = args[2]
            self.pool.append(process)
        process.start()
        return process

    def status(self) -> Any:
        """Asked for at every look round."""
        _looked_at.value = time.monotonic()
        return super().status()

    def reincarnate(self, process: Any) -> None:
        """Replace a worker that ended by itself or timed out; on a death by signal end the deployment."""
        role = self._role(process)
        timed_out = role == "worker" and process.timer.value == 0
        recycled = role == "worker" and int(process.timer.value) == -2
        if timed_out and process.is_alive():
            process.kill()  # workers ignore SIGTERM
            process.join(2)
        elif not recycled and process.exitcode != 0:
            self._report(role, process)
            if process.exitcode is not None and process.exitcode < 0:
                self._give_up(process)
                return
        super().reincarnate(process)

    def _role(self, process: Any) -> str:
        roles = ((self.monitor, "monitor"), (self.pusher, "pusher"))
        return next((role for known, role in roles if process == known), "worker")

    def _report(self, role: str, process: BaseProcess) -> None:
        code = process.exitcode
        how = f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
        hint = " It may have run out of memory." if code == -signal.SIGKILL else ""
        incident_report(
            kind="worker_died",
            summary=f"A {role} process of “{Conf.CLUSTER_NAME}” was {how}.{hint}",
            severity="critical",
            fingerprint=f"worker_died:{Conf.CLUSTER_NAME}:{role}:{code}",
            details={"deployment": Conf.CLUSTER_NAME, "role": role, "exit_code": code, "pid": process.pid},
        )

    def _give_up(self, process: Any) -> None:
        """It may have held the queue's lock: finish what is in hand, start nothing more."""
        stop_begin()
        _broken.value = 1
        if process.pid is not None:
            mark_process_dead(process.pid)
        if process in self.pool:
            self.pool.remove(process)
        flush(2.0)
        self.stop_event.set()


class Deployment(Cluster):  # type: ignore[misc]
    """A cluster with our sentinel, started and waited for without ever blocking for good."""

    def start(self) -> int:
        """Start the sentinel and its workers. Raises `RuntimeError` if they do not come up."""
        context = get_mp_context()
        self.stop_event, self.start_event = context.Event(), context.Event()
        self.sentinel = context.Process(
            target=_start_sentinel,
            name=f"Process-{uuid.uuid4().hex}",
            args=(os.getpid(), self.stop_event, self.start_event, self.cluster_id, self.broker, self.timeout),
        )
        self.sentinel.start()
        deadline = time.monotonic() + 30
        while not self.start_event.is_set():
            if not self.sentinel.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the workers did not start (exit code {self.sentinel.exitcode})")
            time.sleep(0.02)
        pid: int = self.pid
        return pid

    def ask_to_stop(self) -> None:
        """Returns at once. The event has a lock that a killed sentinel may hold, hence the thread of the caller."""
        self.stop_event.set()


def _start_sentinel(parent: int, *args: Any) -> None:
    die_with_parent(parent)
    ReportingSentinel(*args)
