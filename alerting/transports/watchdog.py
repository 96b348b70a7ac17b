"""Shuts a socket at a deadline, whatever its reader waits for: time-outs of sockets are per read, not per message."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable
from typing import Self


class Watchdog:
    """One thread that waits for the deadline of what is on the wire."""

    def __init__(self, current_socket: Callable[[], socket.socket | None]) -> None:
        self._socket = current_socket
        self._lock = threading.Lock()  # that of the condition: to enter it by that one costs more
        self._changed = threading.Condition(self._lock)
        self._deadline: float | None = None
        self._wakes_at = math.inf
        self._closed = False
        self.fired = False
        self._thread = threading.Thread(target=self._run, name="send-watchdog", daemon=True)
        self._thread.start()

    def until(self, deadline: float) -> Self:
        """While inside, the socket is shut when `deadline` (monotonic seconds) comes."""
        self.fired = False
        self._set(deadline)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._set(None)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=1)

    def _set(self, deadline: float | None) -> None:
        with self._lock:
            self._deadline = deadline
            if deadline is not None and deadline < self._wakes_at:
                self._changed.notify()

    def _run(self) -> None:
        with self._lock:
            while not self._closed:
                left = None if self._deadline is None else self._deadline - time.monotonic()
                if left is not None and left <= 0:
                    self._deadline = None
                    self._shut()
                else:
                    self._sleep(left)

    def _sleep(self, seconds: float | None) -> None:
        """Not woken by each message: it wakes at the deadline that it knows, and by then finds a later one."""
        self._wakes_at = math.inf if self._deadline is None else self._deadline
        self._changed.wait(seconds)

    def _shut(self) -> None:
        self.fired = True
        open_socket = self._socket()
        if open_socket is None:
            return
        try:
            # not SSLSocket.shutdown: it would take the TLS state away from under the reading thread
            socket.socket.shutdown(open_socket, socket.SHUT_RDWR)
        except OSError:
            return  # it is shut already, which is what was wanted
