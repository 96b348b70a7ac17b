"""A lane: the queue of one kind of channel, and the threads that serve it, each with a connection of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import structlog

from alerting.cycle.journal import Page
from alerting.cycle.outcomes import Settled
from alerting.cycle.queue import Claim
from alerting.cycle.render import Written
from alerting.cycle.turns import in_turn
from alerting.transports import Transport
from resilience.breakers.group import Probe

log = structlog.get_logger(__name__)

_OWNER = attrgetter("organisation_id")


class Ready(NamedTuple):
    """A message with its words and the claim that holds it. `probe`: its kind is shut, and this one tries the way."""

    written: Written
    claim: Claim
    probe: Probe | None = None

    @property
    def message_id(self) -> int:
        return self.written.checked.message.pk

    @property
    def organisation_id(self) -> int:
        return self.written.checked.message.organisation_id

    @property
    def kind(self) -> str:
        channel = self.written.checked.channel
        assert channel is not None
        return channel.kind


@dataclass(slots=True)
class Seat:
    """What one thread of a lane holds: its connection, its page of the journal if there is one, the outcomes of its
    last messages that it has not seen settled yet, and whether the message under way has come to its handover."""

    transport: Transport
    page: Page | None = None
    unsettled: deque[Settled] = field(default_factory=deque)
    mentioned: bool = False

    def settled(self, seconds: float, *, hurry: Callable[[], None]) -> bool:
        """Whether the next message may be accepted: all but the last came to an end that is in the database, and so did
        the last, or a page has it if it was accepted. Says `hurry` and waits for it, at most so long in all."""
        kept = 0 if self.page is None else 1
        until = time.monotonic() + seconds
        while len(self.unsettled) > kept:
            first = self.unsettled[0]
            if not first.is_set():
                hurry()
            if not first.wait(max(until - time.monotonic(), 0.0)):
                return False
            self.unsettled.popleft()
        return True


class Lane:
    """`put` from one thread; threads start when there is work for them, up to `most`.

    `sit(kind)` makes the seat of a thread; `serve(ready, lane, seat)` does the work and says True; after `leave` it
    says False, and its thread ends.
    `failed(ready, error)` hears what `serve` raised, `done(lane)` of each message that is finished here.
    """

    def __init__(
        self,
        kind: str,
        *,
        most: int,
        sit: Callable[[str], Seat],
        serve: Callable[[Ready, Lane, Seat], bool],
        failed: Callable[[Ready, Exception], None],
        done: Callable[[Lane], None],
    ) -> None:
        self.kind = kind
        self.works = False  # a server has answered for a message
        self._most = most
        self._sit = sit
        self._serve_one = serve
        self._failed = failed
        self._told_done = done
        self._queue: deque[Ready] = deque()
        self._unfinished = 0
        self._lock = threading.Lock()  # that of the condition: to enter it by that one costs more
        self._changed = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._serving = 0
        self._idle = 0
        self._closing = False

    def put(self, several: Collection[Ready]) -> None:
        """Organisations in turn with what waits here already: a single alert waits for no more than its claim."""
        with self._lock:
            self._queue = deque(in_turn([*self._queue, *several], owner=_OWNER))
            self._unfinished += len(several)
            self._changed.notify(len(self._queue))
            for _ in range(min(len(self._queue) - self._idle, self._most - self._serving)):
                if not self._start():
                    break

    def unfinished(self) -> int:
        """Messages that wait or are being served."""
        return self._unfinished

    def leave(self, ready: Ready) -> bool:
        """Called by a thread: one connection fewer, this message goes to another. False for the last one."""
        with self._lock:
            if self._serving <= 1:
                return False
            self._serving -= 1
            self._most = self._serving
            self._queue.appendleft(ready)
            self._changed.notify()
            return True

    def close(self) -> list[Ready]:
        """What is being served is finished. Waits for the threads; returns what nobody has begun."""
        with self._lock:
            self._closing = True
            left = list(self._queue)
            self._queue.clear()
            self._unfinished -= len(left)
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        return left

    def _start(self) -> bool:
        """One thread more. False where there is no room for its stack: those that serve go on without it."""
        thread = threading.Thread(target=self._serve, name=f"{self.kind}-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as fault:
            if not self._serving:
                raise
            log.warning("connection_not_begun", kind=self.kind, serving=self._serving, error=str(fault))
            return False
        self._threads.append(thread)
        self._serving += 1
        return True

    def _serve(self) -> None:
        seat: Seat | None = None
        ready = self._take()
        while ready is not None:
            try:
                seat = seat or self._sit(self.kind)
                if not self._serve_one(ready, self, seat):
                    break
            except Exception as error:  # one message's trouble must not end its thread
                self._failed(ready, error)
            ready = self._take(finished=True)
        if seat is not None:
            seat.transport.close()

    def _take(self, *, finished: bool = False) -> Ready | None:
        with self._lock:  # all threads want it: once for each message
            if finished:
                self._unfinished -= 1
                self._told_done(self)
            self._idle += 1
            while not self._queue and not self._closing:
                self._changed.wait()
            self._idle -= 1
            return self._queue.popleft() if self._queue else None
