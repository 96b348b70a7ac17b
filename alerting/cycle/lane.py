"""A lane: the queue of one kind of channel, and who serves it.

A seat is one connection. A thread takes a message and a seat, and waits for whatever there is to wait for. Where the
connection is open and needs nobody who waits, the seat is the driver's: one thread for all of those. It gives back what
does not go well, with its seat, to a thread that can wait.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple, Protocol

import structlog

from alerting.cycle.driver import Driver
from alerting.cycle.seat import Ready, Seat
from alerting.cycle.send import Begun
from alerting.cycle.tried import Tried
from alerting.cycle.turns import Turns

log = structlog.get_logger(__name__)

_OWNER = attrgetter("organisation_id")
# When the next thread is to help one that waits for its server. In the first of these times one that is near opens many
# connections, and one after another they cost less than all at once. Else it is far, and takes longer than the second.
_NEAR_AFTER_SECONDS, _FAR_AFTER_SECONDS = 0.02, 0.005


class Service(Protocol):
    """What is done with a message. Called by the threads of the lanes."""

    def sit(self, kind: str) -> Seat:
        """A new seat."""

    def connect(self, ready: Ready, lane: Lane, seat: Seat) -> Begun | None:
        """Begin an attempt, and open the seat's connection for it. It may wait. None where that was the end of it."""

    def serve(self, ready: Ready, lane: Lane, seat: Seat, begun: Begun | None) -> None:
        """The whole of it, or what is left of it if it was begun. It may wait."""

    def failed(self, ready: Ready, error: Exception) -> None:
        """What `connect` or `serve` raised."""

    def done(self, lane: Lane) -> None:
        """A message is finished here."""

    def open(self) -> bool:
        """Whether a message may be begun now."""

    def begin(self, ready: Ready, lane: Lane, seat: Seat) -> Begun | None:
        """Before a message: its time and its deadline. None if it may not be sent; then it is given back."""

    def may_hand_over(self, seat: Seat) -> bool:
        """Whether the message under way may be accepted now."""

    def accepted(self, ready: Ready, lane: Lane, seat: Seat, tried: Tried) -> None:
        """The server has taken it."""


class _Job(NamedTuple):
    """A message for a thread. `seat`: None for one that is still to be made; `aside`: the driver gave it."""

    ready: Ready
    seat: Seat | None
    begun: Begun | None = None
    aside: bool = False


class Lane:
    """`put` from one thread; seats are made when there is work for them, up to `most`, and threads as they are needed.

    `driven`: whether connections may be served by the driver.
    """

    def __init__(self, kind: str, *, most: int, service: Service, driven: bool = True) -> None:
        self.kind = kind
        self.works = False  # a server has answered for a message
        self.most = most  # seats
        self._service = service
        self._driver = Driver(self) if driven else None
        self._queue: Turns[Ready] = Turns(owner=_OWNER)
        self._aside: deque[_Job] = deque()
        self._unfinished = 0
        self._lock = threading.Lock()  # that of the condition: to enter it by that one costs more
        self._changed = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._idle = 0  # threads
        self._comes_at = math.inf  # one thread waits until then whether it is needed
        self._sooner = threading.Condition(self._lock)
        self._far = False  # the server: else that thread would not have been needed
        self._seats = 0
        self._free: list[Seat] = []  # of those that the driver cannot serve
        self._closing = False  # nothing more is begun
        self._over = False  # nor comes from the driver: threads may end

    def put(self, several: Collection[Ready]) -> None:
        """Organisations in turn with what waits here already: a single alert waits for no more than its claim."""
        with self._lock:
            for ready in several:
                unfinished = self._unfinished + 1
                self._queue.put(ready)
                self._unfinished = unfinished
        if self._driver is not None:
            self._driver.wake()
        if not self._call_thread() and not self._seats:
            raise MemoryError(f"no thread can be started to send by {self.kind}")

    def unfinished(self) -> int:
        """Messages that wait or are being served."""
        return self._unfinished

    def leave(self, ready: Ready, seat: Seat) -> bool:
        """Called while serving: one connection fewer, this message goes to another. False for the last one."""
        with self._lock:
            if self._seats <= 1:
                return False
            seat.left = True
            self._seats -= 1
            self.most = self._seats
            self._queue.put_back(ready)
        if self._driver is not None:
            self._driver.wake()
        return True

    def close(self) -> list[Ready]:
        """What is being served is finished. Waits for it; returns what nobody has begun."""
        with self._lock:
            self._closing = True
            left = self._not_begun()
        if self._driver is not None:
            self._driver.close()
        with self._lock:
            self._over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for seat in self._free:
            seat.transport.close()
        with self._lock:
            return left + self._not_begun()  # what somebody left meanwhile

    # From here to the next such line: called by the driver.

    def next(self, *, finished: bool = False) -> Ready | None:
        with self._lock:
            if finished:
                self._finish()
            return self._queue.take() if self._queue else None

    def next_early(self) -> Ready | None:
        if not self._service.open():
            return None
        with self._lock:
            if self._free or self._seats < self.most or len(self._queue) < self._seats:
                return None
            return None if self._queue.first().large else self._queue.take()

    def not_after_all(self, ready: Ready) -> None:
        with self._lock:
            self._queue.put_back(ready)
        self._call_thread()

    def finished(self) -> None:
        with self._lock:
            self._finish()

    def begin(self, ready: Ready, seat: Seat) -> Begun | None:
        return self._service.begin(ready, self, seat)

    def may_hand_over(self, seat: Seat) -> bool:
        return self._service.may_hand_over(seat)

    def accepted(self, ready: Ready, seat: Seat, tried: Tried) -> None:
        self._service.accepted(ready, self, seat, tried)

    def aside(self, ready: Ready, seat: Seat, begun: Begun | None) -> None:
        job = _Job(ready, seat, begun, aside=True)
        with self._lock:
            self._aside.append(job)
        if self._call_thread():
            return
        with self._lock:
            if job not in self._aside:
                return  # somebody has it
            self._aside.remove(job)
        self._do(job)  # there is no room for a thread's stack: all others wait too

    # From here on: the lane's own.

    def _call_thread(self, *, after: float = 0.0) -> bool:
        """One thread more, where something waits for one. `after`: unless somebody else has taken it by then. False
        where there is no room for a thread: it never raises, for what waits is in its place already."""
        try:
            return self._called(after)
        except (RuntimeError, MemoryError):
            return False

    def _called(self, after: float) -> bool:
        with self._lock:
            if not self._something_waits():
                return True
            if self._idle:  # who was woken for something else calls the next
                self._changed.notify()
                return True
            if after:
                coming = self._comes_at < math.inf
                self._comes_at = min(self._comes_at, time.monotonic() + after)
                if coming:
                    self._sooner.notify()
                    return True
        return self._start_thread(after=after)

    def _something_waits(self) -> bool:
        """Whether there is something for a thread; called with the lock."""
        if self._aside:
            return True
        others = self._driver.idle() if self._driver is not None else 0
        return len(self._queue) > others and bool(self._free or self._seats < self.most)

    def _start_thread(self, *, after: float = 0.0) -> bool:
        """One thread more. False where there is no room for its stack. Not with the lock: it waits for the thread."""
        try:
            name = f"{self.kind}-{len(self._threads)}"
            thread = threading.Thread(target=self._run, args=(after,), name=name, daemon=True)
            self._threads.append(thread)
        except MemoryError:
            return False
        try:
            thread.start()
        except (RuntimeError, MemoryError) as fault:
            self._threads.remove(thread)
            if after:
                self._comes_at = math.inf
            log.warning("connection_not_begun", kind=self.kind, serving=self._seats, error=str(fault))
            return False
        return True

    def _run(self, after: float) -> None:
        if after:
            self._wait_whether_needed()
        while (job := self._next_job()) is not None:
            self._do(job)

    def _wait_whether_needed(self) -> None:
        with self._lock:
            with suppress(MemoryError):  # a wait takes some
                while (left := self._comes_at - time.monotonic()) > 0:
                    self._sooner.wait(left)
            self._comes_at = math.inf
            self._far = self._far or self._something_waits()

    def _next_job(self) -> _Job | None:
        with self._lock:
            self._idle += 1
            try:
                while not self._something_waits() and not self._over:
                    self._changed.wait()
            finally:
                self._idle -= 1
            if self._aside:
                return self._aside.popleft()
            if not self._something_waits():
                return None
            if self._free:
                return _Job(self._queue.take(), self._free.pop())
            seats = self._seats + 1
            job = _Job(self._queue.take(), None)
            self._seats = seats
            return job

    def _do(self, job: _Job) -> None:
        seat = job.seat
        try:
            seat = seat or self._service.sit(self.kind)
            if not self._serve(job, seat):
                return
        except Exception as error:  # one message's trouble must not end its thread
            self._service.failed(job.ready, error)
        if seat is not None and seat.left:
            seat.transport.close()
            return
        with self._lock:  # all threads want it: once for each message
            self._finish()
            if seat is None:
                self._seats -= 1
        if seat is not None:
            self._sit_down(seat)

    def _serve(self, job: _Job, seat: Seat) -> bool:
        """By this thread. False where the driver has it, from when its connection is open."""
        ready, begun = job.ready, job.begun
        for_driver = self._driver is not None and seat.can_have_line and not (job.aside or ready.large)
        if for_driver and self._drive(seat, ready):
            return False
        if for_driver:
            self._call_thread(after=_FAR_AFTER_SECONDS if self._far else _NEAR_AFTER_SECONDS)
            begun = self._service.connect(ready, self, seat)
            if begun is None:
                return True
            if self._drive(seat, ready):
                return False
        self._call_thread(after=_FAR_AFTER_SECONDS)
        self._service.serve(ready, self, seat, begun)
        return True

    def _not_begun(self) -> list[Ready]:
        """What waits in the queue, taken out of it; called with the lock."""
        left = [self._queue.take() for _ in range(len(self._queue))]
        self._unfinished -= len(left)
        return left

    def _finish(self) -> None:
        self._unfinished -= 1
        self._service.done(self)

    def _sit_down(self, seat: Seat) -> None:
        """It has nothing to do now."""
        if not self._drive(seat, None):
            with self._lock:
                self._free.append(seat)

    def _drive(self, seat: Seat, ready: Ready | None) -> bool:
        """Give it to the driver, with a message to begin with. False where it is nothing for the driver."""
        if self._driver is None or self._closing:
            return False
        try:
            line = seat.line()
        except (OSError, MemoryError):  # somebody who waits finds out
            return False
        return line is not None and self._driver.take(seat, line, ready)
