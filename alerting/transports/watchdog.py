"""Shuts a socket at a deadline, whatever its reader waits for: time-outs of sockets are per read, not per message."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Self

_AGAIN_SECONDS = 0.1


class Watchdog:
    """Of one connection: it keeps the deadline of what is on the wire. One thread of the process looks after all."""

    def __init__(self, current_socket: Callable[[], socket.socket | None]) -> None:
        self._socket = current_socket
        self._watch = _watch
        self.fired = False
        self._watch.enter(self)

    def until(self, deadline: float) -> Self:
        """While inside, the socket is shut when `deadline` (monotonic seconds) comes."""
        self.fired = False
        self._watch.expect(self, deadline)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._watch.forget(self)

    def close(self) -> None:
        self._watch.leave(self)

    def shut(self) -> None:
        """The deadline has come. Never raises an `Exception`."""
        self.fired = True
        try:
            open_socket = self._socket()
            if open_socket is None:
                return
            # not SSLSocket.shutdown: it would take the TLS state away from under the reading thread
            socket.socket.shutdown(open_socket, socket.SHUT_RDWR)
        except Exception:  # it is shut already, which is what was wanted; or it is gone
            return


class _Watch:
    """The thread, which runs while there are watchdogs, and their deadlines."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # that of the condition: to enter it by that one costs more
        self._changed = threading.Condition(self._lock)
        self._all: set[Watchdog] = set()
        self._deadlines: dict[Watchdog, float] = {}
        self._wakes_at = math.inf
        self._runs = False

    def enter(self, watchdog: Watchdog) -> None:
        """Raises `RuntimeError` or `MemoryError` where there is no room for a thread."""
        with self._lock:
            self._all.add(watchdog)
            if self._runs:
                return
            try:
                threading.Thread(target=self._run, name="send-watchdog", daemon=True).start()
            except (RuntimeError, MemoryError):
                self._all.remove(watchdog)
                raise
            self._runs = True

    def leave(self, watchdog: Watchdog) -> None:
        with self._lock:
            self._deadlines.pop(watchdog, None)
            self._all.discard(watchdog)
            if not self._all:
                self._changed.notify()

    def expect(self, watchdog: Watchdog, deadline: float) -> None:
        with self._lock:
            self._deadlines[watchdog] = deadline
            if deadline < self._wakes_at:
                self._changed.notify()

    def forget(self, watchdog: Watchdog) -> None:
        """Not woken for that: it wakes at the deadline that it knows, and by then finds a later one."""
        with self._lock:
            self._deadlines.pop(watchdog, None)

    def _run(self) -> None:
        while True:
            try:
                if not self._round():
                    return
            except Exception:  # no memory: all connections of the process depend on this thread
                time.sleep(_AGAIN_SECONDS)

    def _round(self) -> bool:
        """Shut what is late, and wait for the next deadline. False when there are no watchdogs any more."""
        with self._lock:
            if not self._all:
                self._runs = False
                return False
            now = time.monotonic()
            for late in [each for each, deadline in self._deadlines.items() if deadline <= now]:
                del self._deadlines[late]
                late.shut()
            self._wakes_at = min(self._deadlines.values(), default=math.inf)
            self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
            return True


_watch = _Watch()


def _in_child() -> None:
    """A process that was forked has none of its parent's threads, and may have found the lock held."""
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_in_child)
