"""A clean stop for a long-running command, and an end in any case.

    with Shutdown(deadline=20) as shutdown:
        shutdown.server("metrics", lambda seconds: stop_metrics(), deadline=5)
        shutdown.cleanup(lambda: flush(2.0), name="incidents")
        while not shutdown.stopping.wait(1):
            with shutdown.hold("batch"):
                work()

The first SIGTERM or SIGINT begins the stop, in this order:
1. `stopping` is set, and no hold is given any more; those who asked for it are notified;
2. servers are stopped, all at once, each with its own deadline;
3. holds are waited for: what must not be cut off;
4. clean-ups run, the last registered first, each guarded;
5. the process exits: 0 when all this is done, 1 when a server was late.
A second signal, or the deadline, exits with 1 at once, whatever hangs. All of it works while the main thread sits in
C code that lets other threads run: the C handler writes the signal's number to a socket, which a thread of ours reads.

For a command's own process. Never in a django-q2 worker or any other child: there the parent says stop.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

import structlog

from resilience.errors import told
from resilience.outcomes import Stopping

__all__ = ["DONE", "LATE", "Hold", "ReleasedTwice", "Shutdown", "Stopping"]

log = structlog.get_logger(__name__)

DONE, LATE = 0, 1
SIGNALS = (signal.SIGTERM, signal.SIGINT)
_installed: Shutdown | None = None


class ReleasedTwice(RuntimeError):
    """A hold was released more often than it was given."""


class Hold:
    """Keeps the process from exiting until it is released, once."""

    def __init__(self, name: str, release: Callable[[Hold], None]) -> None:
        self.name = name
        self._release = release

    def release(self) -> None:
        """Raises `ReleasedTwice` the second time."""
        self._release(self)

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class _Server:
    name: str
    stop: Callable[[float], object]
    deadline: float


class Shutdown:
    """One for a process. Everything but `install` may be called from any thread."""

    def __init__(
        self,
        *,
        deadline: float = 25.0,
        grace: float = 0.5,
        exit_now: Callable[[int], object] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deadline`: seconds from the first signal to the forced exit. `grace`: how long, once all is done, the main
        thread has to come to its own end before the process exits without it."""
        self.stopping = threading.Event()
        self._deadline, self._grace, self._exit_now, self._clock = deadline, grace, exit_now, clock
        self._changed = threading.Condition()
        self._callbacks: list[tuple[str, Callable[[], object]]] = []
        self._servers: list[_Server] = []
        self._cleanups: list[tuple[str, Callable[[], object]]] = []
        self._holds: set[Hold] = set()
        self._code = DONE
        self._done, self._main_came, self._over = threading.Event(), threading.Event(), threading.Event()
        self._woken = threading.Event()  # the threads of the stop: it began, or will never begin
        self._threads: list[threading.Thread] = []
        self._reason = ""
        self._signals: _Signals | None = None

    # What takes part

    def notify(self, callback: Callable[[], object], *, name: str = "") -> None:
        """Calls it when stopping begins; at once if it has begun."""
        with self._changed:
            if not self.stopping.is_set():
                self._callbacks.append((name, callback))
                return
        self._guarded("notify", name, callback)

    def hold(self, name: str) -> Hold:
        """Keeps the exit waiting; release it, or use it in a `with`. Raises `Stopping` once stopping began."""
        with self._changed:
            if self.stopping.is_set():
                raise Stopping(f"{name!r} was not begun: the process stops")
            hold = Hold(name, self._release)
            self._holds.add(hold)
        return hold

    def server(self, name: str, stop: Callable[[float], object], *, deadline: float) -> None:
        """`stop(seconds)` is called in a thread of its own. Raises `Stopping` once stopping began."""
        with self._changed:
            if self.stopping.is_set():
                raise Stopping(f"{name!r} must not start: the process stops")
            self._servers.append(_Server(name, stop, deadline))

    def cleanup(self, callback: Callable[[], object], *, name: str = "") -> None:
        """Calls it at the end. One registered late runs too, be it after all others."""
        with self._changed:
            if not self._done.is_set():
                self._cleanups.append((name, callback))
                return
        self._guarded("cleanup", name, callback)

    # Begin and end

    def install(self) -> None:
        """Hear the signals. In the main thread of the command's own process, before other threads start."""
        global _installed
        if multiprocessing.parent_process() is not None:
            raise RuntimeError("a shutdown manager is for a command's own process, not for a worker")
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("signals can be heard from the main thread only")
        if _installed is not None:
            raise RuntimeError("this process has a shutdown manager already")
        self._threads_start()
        self._signals = _Signals(first=self.begin, second=self._force)
        _installed = self

    def uninstall(self) -> None:
        """As it was before, in the main thread. The deadline is off too."""
        global _installed
        self._over.set()
        self._woken.set()
        if self._signals is not None:
            self._signals.close()
            self._signals = None
            _installed = None

    def begin(self, reason: str) -> None:
        """Begin to stop; once. Not from a signal handler."""
        with self._changed:
            if self.stopping.is_set():
                return
            self._threads_start()
            self._reason = reason
            self.stopping.set()
        # Nothing here may block, a log line could: the thread that hears signals must be free for the second one.
        self._woken.set()

    def _threads_start(self) -> None:
        """When it is installed: at a signal the process may have as many threads as it may, or no memory for one."""
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._watch_deadline, name="stop-deadline", daemon=True),
                threading.Thread(target=self._close, name="stop", daemon=True),
            ]
            for thread in self._threads:
                thread.start()

    def finish(self) -> int:
        """The main thread is at its end: stop if nobody did yet, wait for it, return the exit code."""
        self.begin("the work ended")
        self._main_came.set()
        self._done.wait()
        return self._code

    def __enter__(self) -> Shutdown:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """A refusal to begin something, because it stops, is no error of the command."""
        try:
            code = self.finish()
        finally:
            self.uninstall()
        refused = isinstance(error, Stopping)
        if code != DONE and (error is None or refused or _says_done(error)):
            sys.exit(code)
        return refused

    # The stop, in a thread of its own

    def _close(self) -> None:
        self._woken.wait()
        if self.stopping.is_set():
            self._stop_all()

    def _stop_all(self) -> None:
        log.info("stop_begins", reason=self._reason, deadline=self._deadline)
        for name, callback in self._callbacks:
            self._guarded("notify", name, callback)
        self._stop_servers()
        with self._changed:
            self._changed.wait_for(lambda: not self._holds)
        while self._cleanup_next():
            continue
        log.info("stop_done", code=self._code)
        if not self._main_came.wait(self._grace) and not self._over.is_set():
            _flush()
            self._exit_now(self._code)

    def _stop_servers(self) -> None:
        began = self._clock()
        stops = [(one, thread) for one in self._servers if (thread := self._stop_in_thread(one))]
        # Whoever is waited for behind one with a longer deadline would have that one's time too.
        for server, thread in sorted(stops, key=lambda stop: stop[0].deadline):
            thread.join(max(0.0, began + server.deadline - self._clock()))
            if thread.is_alive():
                self._code = LATE
                log.error("server_stops_late", server=server.name, deadline=server.deadline)

    def _stop_in_thread(self, server: _Server) -> threading.Thread | None:
        """None: no thread could be had, so it was stopped in this one while the next had to wait."""
        thread = threading.Thread(target=self._stop_server, args=(server,), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._stop_server(server)
            return None
        return thread

    def _stop_server(self, server: _Server) -> None:
        self._guarded("server", server.name, lambda: server.stop(server.deadline))

    def _cleanup_next(self) -> bool:
        with self._changed:
            if not self._cleanups:
                self._done.set()  # from here a clean-up runs as soon as it is registered
                return False
            name, callback = self._cleanups.pop()
        self._guarded("cleanup", name, callback)
        return True

    def _release(self, hold: Hold) -> None:
        with self._changed:
            if hold not in self._holds:
                raise ReleasedTwice(f"the hold {hold.name!r} was released already")
            self._holds.remove(hold)
            self._changed.notify_all()

    def _guarded(self, part: str, name: str, callback: Callable[[], object]) -> None:
        try:
            callback()
        except (Exception, SystemExit) as fault:  # it must not keep the others from theirs
            log.exception("stop_step_failed", part=part, name=name, error=told(fault))

    # The end in any case: no lock and no log from here, since whatever holds one may hang

    def _watch_deadline(self) -> None:
        self._woken.wait()
        if not self._over.wait(self._deadline):
            self._force(f"the deadline of {self._deadline:g} s passed")

    def _force(self, reason: str) -> None:
        try:  # the text too: other threads change the holds meanwhile, and a name may be anything
            held = ", ".join(sorted(hold.name for hold in tuple(self._holds)))
            text = f"forced to exit: {reason}; still held by: {held or 'nothing'}\n".encode()
            if select.select([], [2], [], 0)[1]:
                os.write(2, text)
        finally:
            self._exit_now(LATE)

    def forget_in_child(self) -> None:
        """A fork of this process is another one: its signals are not ours, and it has none of our threads."""
        self._threads = []
        if self._signals is not None:
            self._signals.let_go()
            self._signals = None


class _Signals:
    """From the C handler through a socket to a thread."""

    def __init__(self, *, first: Callable[[str], None], second: Callable[[str], None]) -> None:
        self._ours, self._kernels = socket.socketpair()
        self._kernels.setblocking(False)
        # First: where no thread can be had, the signals stay as they are.
        threading.Thread(target=self._listen, args=(first, second), name="stop-signals", daemon=True).start()
        self._wakeup_before = signal.set_wakeup_fd(self._kernels.fileno(), warn_on_full_buffer=False)
        # Python must handle the signal for its number to be written; all else is done by the thread.
        self._before: dict[int, Any] = {number: signal.signal(number, _heard) for number in SIGNALS}

    def let_go(self) -> None:
        """Before it is closed, or in a fork."""
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def close(self) -> None:
        self.let_go()
        self._kernels.shutdown(socket.SHUT_RDWR)  # ends the thread; a close would not while a fork holds a copy
        self._kernels.close()

    def _listen(self, first: Callable[[str], None], second: Callable[[str], None]) -> None:
        heard = 0
        with self._ours:
            while numbers := self._ours.recv(16):
                for number in numbers:
                    if number in SIGNALS:
                        heard += 1
                        (first if heard == 1 else second)(signal.Signals(number).name)


def _says_done(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and error.code in (None, DONE)


def _heard(number: int, frame: FrameType | None) -> None:
    """See `_Signals`."""


def _flush() -> None:
    """`os._exit` does not. Where it hangs, the deadline is still on."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # closed, or nobody reads it
            continue


def _after_fork_in_child() -> None:
    global _installed
    if _installed is not None:
        _installed.forget_in_child()
        _installed = None


os.register_at_fork(after_in_child=_after_fork_in_child)
