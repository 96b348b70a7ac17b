"""django-q2's cluster with a sentinel that tells of deaths, and ends the deployment where it could only stall.

A process killed by a signal may have held the lock of a queue: whoever waits for that lock waits for ever, and
the stock sentinel goes on as if nothing had happened. So a death by signal stops the whole deployment, and its
supervisor starts a clean one. So does a queue that nobody takes from, and a process that does not run. No process
outlives its parent: the kernel sees to it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue
from typing import Any

import structlog
from django.conf import settings
from django_q.cluster import Cluster, Sentinel, get_mp_context
from django_q.conf import Conf
from django_q.worker import worker

from alerting.workers.deaths import Dead, death_tell, stall_tell
from alerting.workers.feeder import feed, rounds
from alerting.workers.pulse import Pulse, Stillness
from alerting.workers.stop_flag import stop_begin, stopping
from alerting.workers.this_worker import become, step_of, step_place
from resilience.incidents import flush, incident_report
from resilience.ledger.book import Run
from resilience.ledger.causes import cause_of
from resilience.ledger.memory import Unexplained
from resilience.ledger.models import Cause
from resilience.metrics import mark_process_dead

log = structlog.get_logger(__name__)

_PR_SET_PDEATHSIG = 1  # prctl(2)
# A cycle that waits while no worker works, a feeder that does not come round, a process that does not run: nothing will
# move again.
STALLED_AFTER_SECONDS = 5.0
START_SECONDS = 10.5
# A process that ends by itself writes its incidents first, which takes up to 2 seconds.
LAST_WORDS_SECONDS = 3.0
LEAVING_LOOK_SECONDS = 0.1
# So many replaced in so short a time: what replaces them ends as they did.
MOST_REPLACED, REPLACED_WITHIN_SECONDS = 4, 20.0

# Shared with the main process, without locks: 1 when a child was killed; how often the sentinel has looked round.
_broken = RawValue("b", 0)
_looks = RawValue("L", 0)


def is_broken() -> bool:
    return bool(_broken.value)


def looks() -> int:
    """How often the sentinel has looked at its children."""
    return int(_looks.value)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def memory_limit(megabytes: int) -> None:
    """What this process may take beyond what it has; more fails as a `MemoryError`, not by the kernel's hand."""
    with open("/proc/self/statm", encoding="ascii") as pages:  # proc(5): the first is the address space
        has = int(pages.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + (megabytes << 20),) * 2)


def _in_child(parent: int, pulse: Pulse, target: Callable[..., Any], *args: Any) -> None:
    """Where every child begins: bound to its parent, deaf to signals that are meant for the main process.

    A SIGTERM to the whole process group must not cut a message off: the main process hears it and says stop.
    """
    die_with_parent(parent)
    signal.set_wakeup_fd(-1)  # it is the main process's
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pulse.begin()
    target(*args)


def _work(run: Run, step: Any, *args: Any) -> None:
    become(run, step)
    if settings.WORKER_MEMORY_MB:
        memory_limit(settings.WORKER_MEMORY_MB)
    worker(*args)


class ReportingSentinel(Sentinel):  # type: ignore[misc]
    """Guards the workers; see the module."""

    def __init__(self, run: Run, *args: Any) -> None:
        signal.set_wakeup_fd(-1)
        self.run = run
        self._oom_kills = Unexplained()
        self._oom_kills.number(now=time.monotonic())
        self._takings = 0  # looks at which no cycle waited for an idle worker
        self._taking = Stillness(lambda: self._takings, now=time.monotonic())
        self._replaced: deque[float] = deque(maxlen=MOST_REPLACED)
        self._told: set[int | None] = set()  # pids
        super().__init__(*args)

    def start(self) -> None:
        # Sentinel's constructor had set SIGTERM back to its default
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        super().start()

    def spawn_process(self, target: Any, *args: Any) -> Any:
        step, pulse = None, Pulse()
        if target is worker:
            timer, step = args[2], step_place()
            target, args = _work, (self.run, step, *args)
        process = get_mp_context().Process(
            target=_in_child, args=(os.getpid(), pulse, target, *args), name=f"Process-{uuid.uuid4().hex}"
        )
        process.stillness = Stillness(pulse.beats, now=time.monotonic())
        process.daemon = Conf.DAEMONIZE_WORKERS if step is not None else True
        if step is not None:
            process.timer, process.step = timer, step
            self.pool.append(process)
        process.start()
        return process

    def spawn_pusher(self) -> Any:
        """The feeder takes the pusher's place."""
        self._feeder = Stillness(rounds, now=time.monotonic())
        return self.spawn_process(feed, self.task_queue, self.event_out, self.broker)

    def status(self) -> Any:
        """Asked for at every look round."""
        now = time.monotonic()
        _looks.value += 1
        self._oom_kills.number(now=now)
        if self.pusher is not None and not stopping() and (why := self._stall(now)):
            self._give_up()
            stall_tell(self.run, why)
            flush(2.0)
        return super().status()

    def _stall(self, now: float) -> str:
        """Why nothing will move again, or ""."""
        alive = [process for process in (*self.pool, self.monitor, self.pusher) if process.is_alive()]
        still = [process.stillness.seconds(now) for process in alive]
        longest = max(still, default=0.0)
        waits = self._cycle_waits(now)
        # a cycle may have waited since a moment before its worker stood still: then that is why nobody takes it
        if longest > (STALLED_AFTER_SECONDS / 2 if waits else STALLED_AFTER_SECONDS):
            return f"its {self._role(alive[still.index(longest)])} does not run"
        if waits:
            return "a cycle waits and no worker takes it"
        return "nobody asks for cycles any more" if self._feeder.seconds(now) > STALLED_AFTER_SECONDS else ""

    def _cycle_waits(self, now: float) -> bool:
        """Whether one has waited for too long though workers are idle."""
        # read without the timer's lock, which a killed worker may hold
        idle = all(one.timer.get_obj().value == -1 for one in self.pool)
        if not (idle and self.task_queue.full()):
            self._takings += 1
        return self._taking.seconds(now) > STALLED_AFTER_SECONDS

    def reincarnate(self, process: Any) -> None:
        """Replace what ended by itself; on a death by signal, our own included, end the deployment."""
        role = self._role(process)
        timed_out = role == "worker" and process.timer.get_obj().value == 0
        if timed_out and process.is_alive():
            self._end_late(process)
        killed = process.exitcode is None or process.exitcode < 0
        if killed:
            self._give_up()
        if process.exitcode != 0 or timed_out or not self._may_end(process, role):
            self._tell(process, role, timed_out=timed_out)
        if killed:
            self._forget(process)
        else:
            self._replace(process, expected=self._may_end(process, role))

    def stop(self) -> None:
        """As the stock one, which does not ask how its children end, and waits for a dead one's lock for ever."""
        leaving, over = [*self.pool, self.monitor, self.pusher], threading.Event()
        watch = threading.Thread(target=self._watch_leaving, args=(leaving, over), daemon=True)
        watch.start()
        super().stop()
        over.set()
        watch.join(LAST_WORDS_SECONDS)

    def _watch_leaving(self, leaving: list[Any], over: threading.Event) -> None:
        """In a thread: the stock stop blocks where it puts something into a queue whose reader is dead."""
        last = False
        while not last:
            last = over.wait(LEAVING_LOOK_SECONDS)
            for process in leaving:
                if process.exitcode not in (None, 0) and process.pid not in self._told:
                    _broken.value = 1
                    role = self._role(process)
                    self._tell(process, role, timed_out=role == "worker" and process.timer.get_obj().value == 0)
                    flush(2.0)

    def _replace(self, process: Any, *, expected: bool) -> None:
        super().reincarnate(process)
        if not expected:
            self._replaced.append(time.monotonic())
            if (
                len(self._replaced) == MOST_REPLACED
                and self._replaced[-1] - self._replaced[0] < REPLACED_WITHIN_SECONDS
            ):
                self._give_up()
                stall_tell(self.run, "its processes end soon after they start")

    def _may_end(self, process: Any, role: str) -> bool:
        """A worker that had its number of tasks; anybody once the deployment stops."""
        recycled = role == "worker" and int(process.timer.get_obj().value) == -2
        return recycled or stopping()

    def _end_late(self, process: Any) -> None:
        """Its time is up. It says its last words, unless it swallowed django-q2's exception; it ignores SIGTERM."""
        process.join(LAST_WORDS_SECONDS)
        if process.is_alive():
            process.kill()
            process.join(2)

    def _role(self, process: Any) -> str:
        roles = ((self.monitor, "monitor"), (self.pusher, "pusher"))
        return next((role for known, role in roles if process == known), "worker")

    def _tell(self, process: Any, role: str, *, timed_out: bool) -> None:
        killed = self._oom_kills.number(now=time.monotonic())
        cause = cause_of(process.exitcode, timed_out=timed_out, oom_kills=killed)
        if cause is Cause.OUT_OF_MEMORY:
            self._oom_kills.explain_one()
        self._told.add(process.pid)
        step = step_of(process.step) if role == "worker" else ""
        death_tell(self.run, Dead(process.pid, role, cause, process.exitcode, step))

    def _give_up(self) -> None:
        """A lock may never come free: finish what is in hand, start nothing more."""
        _broken.value = 1  # first: whoever sees the stop must see why
        stop_begin()
        self.stop_event.set()

    def _forget(self, process: Any) -> None:
        if process.pid is not None:
            mark_process_dead(process.pid)
        if process in self.pool:
            self.pool.remove(process)
        flush(2.0)


class Deployment(Cluster):  # type: ignore[misc]
    """A cluster with our sentinel, started and waited for without ever blocking for good."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def start(self) -> int:
        """Start the sentinel and its workers. Raises `RuntimeError` if they do not come up."""
        context = get_mp_context()
        self.stop_event, self.start_event = context.Event(), context.Event()
        self.sentinel = context.Process(
            target=_start_sentinel,
            name=f"Process-{uuid.uuid4().hex}",
            args=(os.getpid(), self.run, self.stop_event, self.start_event, self.cluster_id, self.broker, self.timeout),
        )
        self.sentinel.start()
        deadline = time.monotonic() + START_SECONDS
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
    """A sentinel that stumbles ends at once, its children with it: an ordinary exit would wait for them."""
    die_with_parent(parent)
    try:
        ReportingSentinel(*args)
    except Exception as error:
        incident_report(
            kind="sentinel_failed",
            summary=f"The sentinel of “{Conf.CLUSTER_NAME}” raised; its deployment ends.",
            severity="critical",
            error=error,
        )
        flush(2.0)
        os._exit(1)
