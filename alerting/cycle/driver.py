"""The driver: one thread that serves all open connections of a lane on which nothing goes wrong.

A thread for each connection costs three times as much: they wake each other several times a message, and each waits for
Python's lock every time. What the driver does never waits. A message that is refused, lost, slow or in any way unlike
others goes to a thread, with its connection and from where it stands.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest
from operator import attrgetter
from typing import Protocol

import structlog

from alerting.cycle.seat import Ready, Seat
from alerting.cycle.send import Begun
from alerting.cycle.tried import Tried
from alerting.transports import Heard, Line, TransportError

log = structlog.get_logger(__name__)

# Who takes longer has a thread that waits for it, and that knows the deadline.
PATIENCE_SECONDS = 1.0
# A commit that a message waits for takes a few.
_SETTLED_LOOK_SECONDS = 0.001
_AFTER_FAULT_SECONDS = 0.01
# Connections that go on to their next message before others are looked at: one that only has to be given its content
# would wait for all of them. Those left have their next turn.
_FEW = 3


class Work(Protocol):
    """Where messages come from, and what becomes of them."""

    kind: str

    def next(self, *, finished: bool = False) -> Ready | None:
        """What is to be sent next. `finished`: another is."""

    def next_early(self) -> Ready | None:
        """What may be announced behind the content of another, and is not begun yet: something where at least one waits
        for each connection, so that it seldom waits longer than it would for another one."""

    def not_after_all(self, ready: Ready) -> None:
        """What `next_early` gave is next for others again. If this raises, it is not."""

    def finished(self) -> None:
        """A message is."""

    def begin(self, ready: Ready, seat: Seat) -> Begun | None:
        """None if it may not be sent now; then it was given back."""

    def may_hand_over(self, seat: Seat) -> bool:
        """Whether the message under way may be accepted. Does not wait."""

    def accepted(self, ready: Ready, seat: Seat, tried: Tried) -> None:
        """It was. Never raises an `Exception`."""

    def aside(self, ready: Ready, seat: Seat, begun: Begun | None) -> None:
        """Somebody who can wait goes on with it. The seat is theirs."""


@dataclass(slots=True, eq=False)
class _Talk:
    """A seat, its line, and the message that is under way. `announced`: its content has yet to leave. `early`: the one
    that was announced behind it. `silent`: nothing was to be heard while it was idle."""

    seat: Seat
    line: Line
    number: int  # of the line's file
    ready: Ready | None = None
    begun: Begun | None = None
    early: Ready | None = None
    since: float = 0.0
    announced: bool = False
    silent: bool = True


class Driver:
    """`take` from any thread, `wake` when something is to be begun, `close` when nothing more is."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._new: deque[_Talk] = deque()
        self._idle: list[_Talk] = []
        self._busy: OrderedDict[_Talk, None] = OrderedDict()  # those that were begun first come first
        self._wanted: list[_Talk] = []  # whose server waits for the content, and whose last outcome is not settled yet
        self._lock = threading.Lock()
        self._closing = False
        self._selector: selectors.BaseSelector | None = None
        self._bell = -1
        self._thread: threading.Thread | None = None

    def take(self, seat: Seat, line: Line, ready: Ready | None) -> bool:
        """Serve this seat from now on, with this message to begin with. False where the driver has ended, or there is
        no room for its thread."""
        try:
            talk = _Talk(seat, line, line.fileno(), ready)
        except (OSError, MemoryError):  # it was closed a moment ago; or there is no room
            return False
        with self._lock:
            if self._closing or not (self._thread or self._start()):
                return False
            self._new.append(talk)
            first = len(self._new) == 1
        if first:  # behind another: it comes to that one yet, and then looks again
            self.wake()
        return True

    def wake(self) -> None:
        """Something waits in the lane."""
        with self._lock:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def idle(self) -> int:
        """Seats that have nothing to do: perhaps one more than it says."""
        return len(self._idle)

    def close(self) -> None:
        """What is on the wire is finished, here or by a thread. The seats are given up."""
        with self._lock:
            self._closing = True
        self.wake()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._bell >= 0:
                os.close(self._bell)
            self._bell = -1

    def _start(self) -> bool:
        try:
            if self._selector is None:
                self._listen()
            thread = threading.Thread(target=self._run, name=f"{self._work.kind}-driver", daemon=True)
            thread.start()
        except (RuntimeError, MemoryError, OSError) as fault:
            log.warning("driver_not_begun", kind=self._work.kind, error=str(fault))
            return False
        self._thread = thread
        return True

    def _listen(self) -> None:
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            selector = selectors.DefaultSelector()
            selector.register(bell, selectors.EVENT_READ)
        except BaseException:
            os.close(bell)
            raise
        self._bell, self._selector = bell, selector

    # From here on: the driver's thread.

    def _run(self) -> None:
        assert self._selector is not None
        with self._selector:
            while not self._ended():
                try:
                    self._turn(self._selector)
                except Exception as fault:
                    self._failed(fault)
        for talk in self._idle:
            talk.seat.transport.close()

    def _failed(self, fault: Exception) -> None:
        """A thread that dies would leave its messages unfinished for ever. What cannot be set aside for want of memory
        is tried again in the next turn."""
        with suppress(Exception):
            log.exception("driver_failed", kind=self._work.kind, error=str(fault))
        with suppress(Exception):
            for talk in list(self._busy):
                self._aside(talk)
        time.sleep(_AFTER_FAULT_SECONDS)

    def _ended(self) -> bool:
        with self._lock:
            return self._closing and not self._busy and not self._new

    def _turn(self, selector: selectors.BaseSelector) -> None:
        more = self._begin_some()
        for talk in self._heard_first(key.data for key, _ in selector.select(0.0 if more else self._patience())):
            self._step(self._hear, talk)
        wanted, self._wanted = self._wanted, []
        for talk in wanted:
            self._step(self._hand_over, talk)
        self._set_slow_aside()

    def _heard_first(self, talks: Iterable[_Talk | None]) -> Iterator[_Talk]:
        """Those whose server is to be given a content, of this message or of the one that was announced early, and of
        the others a few: the next message is made ready for each of them, and meanwhile new ones may be asked for their
        content."""
        others = []
        for talk in talks:
            if talk is None:
                os.eventfd_read(self._bell)
            elif talk.announced or talk.early is not None:
                yield talk
            else:
                others.append(talk)
        # the oldest: of those that are ready epoll may name the same ones first again and again
        yield from others if len(others) <= _FEW else nsmallest(_FEW, others, key=attrgetter("since"))

    def _step(self, step: Callable[[_Talk], None], talk: _Talk) -> None:
        """Whatever is wrong with the message: who goes on with it meets it again, and says so."""
        try:
            step(talk)
        except (TransportError, OSError, ValueError):  # its address, its words, its connection
            self._aside(talk)
        except Exception as fault:
            with suppress(Exception):
                log.warning("driver_gave_up", kind=self._work.kind, error=f"{type(fault).__name__}: {fault}")
            self._aside(talk)

    def _welcome(self, talk: _Talk) -> None:
        assert self._selector is not None
        try:
            self._selector.register(talk.number, selectors.EVENT_READ, talk)
        except (OSError, KeyError, MemoryError):
            talk.silent = False  # what cannot be listened to is for somebody who waits
        self._go_on(talk, talk.ready)

    def _begin_some(self) -> bool:
        """Of the connections that are new or idle. Whether there may be more to begin."""
        for _ in range(_FEW):
            if self._new:
                self._step(self._welcome, self._new.popleft())
                continue
            if not self._idle:
                return False
            talk = self._idle.pop()  # first: whoever counts the idle ones must not count it in vain
            self._step(self._begin_next, talk)
            if talk.ready is None:
                return bool(self._new)
        return True

    def _begin_next(self, talk: _Talk) -> None:
        self._go_on(talk, self._work.next())

    def _go_on(self, talk: _Talk, ready: Ready | None) -> None:
        """With this message, or with the first after it that may be sent."""
        while ready is not None and not self._begun(talk, ready):
            ready = self._work.next(finished=True)
        if ready is None:
            self._idle.append(talk)

    def _begun(self, talk: _Talk, ready: Ready) -> bool:
        """False if it may not be sent."""
        talk.ready, talk.begun, talk.announced, talk.since = ready, None, False, time.monotonic()
        self._busy[talk] = None  # from here on it cannot be lost
        if ready.large or not talk.silent:
            self._aside(talk)
            return True
        if not self._may_begin(talk):
            return False
        self._step(self._announce, talk)
        return True

    def _may_begin(self, talk: _Talk) -> bool:
        assert talk.ready is not None
        talk.begun = self._work.begin(talk.ready, talk.seat)
        if talk.begun is None:
            del self._busy[talk]
            talk.ready = None
        return talk.begun is not None

    def _announce(self, talk: _Talk) -> None:
        assert talk.ready is not None
        talk.announced = True
        if not talk.line.begin(talk.ready.written.outgoing):
            self._aside(talk)

    def _hear(self, talk: _Talk) -> None:
        if talk.ready is None:  # a goodbye: the next message on this seat is for somebody who can open it again
            talk.silent = False
            self._forget(talk)
            return
        self._understand(talk, talk.line.hear())

    def _understand(self, talk: _Talk, heard: Heard) -> None:
        if heard is Heard.GO_ON:
            self._hand_over(talk)
        elif heard is Heard.TAKEN:
            self._taken(talk)
        elif heard is Heard.ELSE:
            self._aside(talk)

    def _hand_over(self, talk: _Talk) -> None:
        if not self._work.may_hand_over(talk.seat):
            self._wanted.append(talk)
            return
        talk.announced = False
        self._announce_early(talk)
        if not talk.line.hand_over():
            self._aside(talk)

    def _announce_early(self, talk: _Talk) -> None:
        if self._idle or not talk.line.takes_early:
            return
        talk.early = self._work.next_early()
        if talk.early is not None and not talk.line.announce_early(talk.early.written.outgoing):
            self._not_after_all(talk)

    def _taken(self, talk: _Talk) -> None:
        ready, begun = talk.ready, talk.begun
        assert ready is not None
        assert begun is not None
        tried = Tried(begun.at, begun.clock(), talk.line.taken())
        talk.ready, talk.begun, talk.early = talk.early, None, None
        if talk.ready is None:
            del self._busy[talk]
        self._work.accepted(ready, talk.seat, tried)  # before anything that may fail
        if talk.ready is None:
            self._go_on(talk, self._work.next(finished=True))
        else:
            self._follow(talk)

    def _follow(self, talk: _Talk) -> None:
        """With the message that was announced early."""
        self._work.finished()
        self._busy.move_to_end(talk)
        talk.since = time.monotonic()
        heard = talk.line.follow()
        if self._may_begin(talk):
            talk.announced = True
            self._understand(talk, heard)
            return
        talk.silent = False  # whoever comes next needs another connection
        self._forget(talk)
        talk.line.give_up()
        self._go_on(talk, self._work.next(finished=True))

    def _aside(self, talk: _Talk) -> None:
        """Nothing is taken from us before it is somebody else's."""
        ready, begun = talk.ready, talk.begun
        if ready is None:
            if talk not in self._idle:
                self._idle.append(talk)
            return
        self._not_after_all(talk)
        if begun is None:
            self._forget(talk)
            talk.line.give_up()
        else:
            begun = begun._replace(go_on=partial(talk.line.finish, ready.written.outgoing))
        self._work.aside(ready, talk.seat, begun)
        self._busy.pop(talk, None)
        if talk in self._wanted:
            self._wanted.remove(talk)
        self._forget(talk)

    def _not_after_all(self, talk: _Talk) -> None:
        if talk.early is not None:
            self._work.not_after_all(talk.early)
            talk.early = None

    def _forget(self, talk: _Talk) -> None:
        """Once: its number may be another's as soon as it is closed."""
        assert self._selector is not None
        number, talk.number = talk.number, -1
        with suppress(KeyError, ValueError):
            self._selector.unregister(number)

    def _set_slow_aside(self) -> None:
        late = time.monotonic() - PATIENCE_SECONDS
        while (first := next(iter(self._busy), None)) is not None and first.since <= late:
            self._step(self._hear, first)  # it may be we who were slow
            if first in self._busy and first.since <= late:
                self._aside(first)

    def _patience(self) -> float | None:
        if self._wanted:
            return _SETTLED_LOOK_SECONDS
        first = next(iter(self._busy), None)
        return None if first is None else max(first.since + PATIENCE_SECONDS - time.monotonic(), 0.0)
