"""Child processes that are kept running, stopped cleanly, and never left behind.

A child has a session of its own, so that a Ctrl-C on the terminal reaches only the supervisor, and the kernel
sends it SIGTERM when the supervisor dies, however it dies.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LONGEST_WAIT = 30.0
SETTLED_SECONDS = 30.0  # a child that lived so long starts again at once
QUIET_LEVELS = {"debug", "info"}

Say = Callable[[str], None]
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> Callable[[], None]:
    """For `preexec_fn`: SIGTERM when this process dies."""
    parent = os.getpid()

    def before_exec() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


@dataclass
class Child:
    """One program that shall run until it is stopped. Used by one thread: the kernel ties a child to it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    say: Say
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    _again_at: float = field(default=0.0)

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(  # noqa: S603
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        self.started = time.monotonic()
        threading.Thread(target=self._pass_on, args=(self.process,), daemon=True).start()

    def look_after(self, now: float) -> None:
        """Notices a death, and starts it again after a wait that grows while it keeps dying."""
        if self.process is not None and self.process.poll() is not None:
            self.failures = 0 if now - self.started > SETTLED_SECONDS else self.failures + 1
            wait = min(LONGEST_WAIT, float(2**self.failures) if self.failures else 0.5)
            self.say(f"{self.name} ended ({_how(self.process.returncode)}); it starts again in {wait:g} s")
            self.process, self._again_at = None, now + wait
        elif self.process is None and now >= self._again_at:
            self.start()

    def ask_to_stop(self) -> None:
        if self.runs():
            assert self.process is not None
            self.process.terminate()

    def kill(self) -> None:
        """The child and everything it has started."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # all gone
            self.process.wait()

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _pass_on(self, process: subprocess.Popen[bytes]) -> None:
        """Everything to the log; what is worth a look to the screen too."""
        assert process.stdout is not None
        with self.log.open("ab") as log, process.stdout as lines:
            for line in lines:
                log.write(line)
                log.flush()
                if shown := worth_showing(line.decode(errors="replace").rstrip()):
                    self.say(f"{self.name} | {shown}")


def worth_showing(line: str) -> str:
    """A log line as it is shown on the screen: warnings and worse, and what is no log line. Else nothing."""
    if not line.startswith("{"):
        return line
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if entry.get("level", "info") in QUIET_LEVELS:
        return ""
    details = (f"{key}={value}" for key, value in entry.items() if key not in _KNOWN)
    return " ".join([f"{entry.get('level')}: {entry.get('event', '')}", *details])[:300]


_KNOWN = {"level", "event", "timestamp", "logger", "exception", "stack"}


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def stop_all(children: Sequence[Child], seconds: float, forced: Callable[[], bool]) -> list[str]:
    """SIGTERM to all; after `seconds`, or when forced, SIGKILL. Returns the names of those that were killed."""
    for child in children:
        child.ask_to_stop()
    deadline = time.monotonic() + seconds
    while any(child.runs() for child in children) and time.monotonic() < deadline and not forced():
        time.sleep(0.05)
    late = [child.name for child in children if child.runs()]
    for child in children:
        child.kill()
    return late
