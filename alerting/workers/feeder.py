"""What asks for cycles, in the place of django-q2's pusher: at every poke, and every few seconds without one.

A cycle is put straight into the workers' queue: no table and no polling lies between a NOTIFY and the work, and
nothing stays behind that could run twice. While a cycle waits that nobody has taken, no other is asked for: it will
see all that is committed by now.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Mapping
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import RawValue
from multiprocessing.synchronize import Event
from typing import Any

import structlog
from django.utils import timezone
from django_q.conf import Conf

from alerting.workers.names import POKES, TICK_SECONDS, task_path
from alerting.workers.pokes import Pokes
from alerting.workers.queued import queued_take
from alerting.workers.stop_flag import stopping

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25

# Shared with the sentinel, without a lock.
_rounds = RawValue("L", 0)


def rounds() -> int:
    """How often the feeder has come round."""
    return int(_rounds.value)


def feed(task_queue: Queue[Mapping[str, Any]], ended: Event, broker: object = None) -> None:
    """Runs in the pusher's process until the sentinel says that it is over. Its signature is the pusher's."""
    feeder = Feeder(task_queue, Conf.CLUSTER_NAME)
    pokes = Pokes(POKES[feeder.name], deployment=feeder.name)
    try:
        while not ended.is_set():
            _rounds.value += 1
            poked = pokes.wait(min(feeder.seconds_left(time.monotonic()), LOOK_SECONDS))
            if not stopping():
                feeder.feed(poked=poked, now=time.monotonic())
    finally:
        pokes.close()


class Feeder:
    """Decides what goes into the queue, which holds one task."""

    def __init__(self, task_queue: Queue[Mapping[str, Any]], name: str) -> None:
        self.name = name
        self._queue = task_queue
        self._due = 0.0
        self._cycle_waits = False  # what was put last is a cycle

    def seconds_left(self, now: float) -> float:
        """Until a cycle is due without a poke."""
        return max(self._due - now, 0.0)

    def feed(self, *, poked: bool, now: float) -> None:
        """A cycle if poked or due. At a tick also what somebody queued, a cycle first."""
        ticked = now >= self._due
        if (poked or ticked) and self._put_cycle():
            self._due = now + TICK_SECONDS[self.name] if ticked else self._due
        elif poked or ticked:
            self._due = now + LOOK_SECONDS  # another task stands before it
        if ticked and not self._queue.full() and (task := queued_take(self.name)) is not None:
            self._cycle_waits = False
            self._queue.put_nowait(task)

    def _put_cycle(self) -> bool:
        """False if something else than a cycle fills the queue."""
        try:
            self._queue.put_nowait(_cycle(self.name))
        except queue.Full:
            return self._cycle_waits
        self._cycle_waits = True
        return True


def _cycle(name: str) -> dict[str, Any]:
    """A task as django-q2's worker and monitor expect it, named by its path: code is never pickled."""
    now = timezone.now()
    return {
        "id": uuid.uuid4().hex,
        "name": f"{name} {now:%H:%M:%S.%f}",
        "func": task_path(name),
        "args": (),
        "kwargs": {},
        "hook": None,
        "group": None,
        "cluster": name,
        "started": now,
    }
