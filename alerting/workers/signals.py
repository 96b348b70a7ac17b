"""SIGTERM and SIGINT in a worker's main process: the first says stop, the second ends it at once.

The C handler writes the signal's number to a socket, and a thread of ours reads it: it is heard even while the main
thread is inside a library that does not come back to Python.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable


class StopSignals:
    """Installed in the main thread before anything is started; `watch` begins once all children are forked."""

    def __init__(self) -> None:
        self._ours, self._kernels = socket.socketpair()
        self._wake_read, self._wake_write = socket.socketpair()
        self._kernels.setblocking(False)

    def install(self) -> None:
        """From here no signal is lost: what arrives before `watch` waits in the socket."""
        signal.set_wakeup_fd(self._kernels.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _heard)

    def watch(self, *, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Call `first` on the first signal and `second` on the next, in a thread."""
        threading.Thread(target=self._run, args=(first, second), name="stop-signals", daemon=True).start()

    @property
    def wake_up(self) -> int:
        """A file descriptor that can be read from the first signal on."""
        return self._wake_read.fileno()

    def _run(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        heard = 0
        while numbers := self._ours.recv(16):
            for number in numbers:
                if number not in (signal.SIGTERM, signal.SIGINT):
                    continue
                heard += 1
                if heard == 1:
                    first()
                    self._wake_write.send(b"!")
                else:
                    second()


def _heard(number: int, frame: object) -> None:
    """Python must handle the signal for its number to be written; all else is done by the thread."""
