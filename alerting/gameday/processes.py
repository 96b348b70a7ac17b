"""Real processes of a drill: deployments of workers that are started, watched, killed and never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None, use_errno=True)
END_SECONDS = 15.0


def bound_to_parent(first: Callable[[], None] | None = None) -> Callable[[], None]:
    """For `preexec_fn`: the kernel kills the child when this process is gone."""
    parent = os.getpid()

    def before_exec() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)
        if first is not None:
            first()

    return before_exec


class Worker:
    """`manage.py worker NAME`. With `supervised`, `look_after` starts it again as systemd would."""

    def __init__(
        self,
        deployment: str,
        *,
        project: Path,
        environment: Mapping[str, str],
        log: Path,
        supervised: bool = True,
        enter: Callable[[], None] | None = None,
    ) -> None:
        """`log`: where its output goes. `enter`: called in the child before it becomes the worker, for its limits."""
        self.deployment = deployment
        self.log = log
        self.ends: list[int] = []  # exit codes, negative for signals
        self._project = project
        self._environment = dict(environment)
        self._supervised = supervised
        self._enter = enter
        self._stopping = False
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def owns(self, pid: int) -> bool:
        """Whether this process is one of the deployment that runs now: it leads a session of its own."""
        try:
            return os.getsid(pid) == self.pid
        except ProcessLookupError:
            return False

    def look_after(self) -> None:
        """Notice an end; start it again unless it was asked to stop."""
        if self._process.poll() is None or self._stopping:
            return
        self.ends.append(self._process.returncode)
        if self._supervised:
            self._process = self._start()
        else:
            self._stopping = True

    def ask_to_stop(self, *, whole_group: bool = False) -> None:
        """SIGTERM, once."""
        if not self._stopping:
            self._stopping = True
            self.signal(signal.SIGTERM, whole_group=whole_group)

    def stop(self, *, whole_group: bool = False) -> int | None:
        """SIGTERM, and wait; the exit code, or None if it had to be killed."""
        self.ask_to_stop(whole_group=whole_group)
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.end()
            return None

    def signal(self, number: signal.Signals, *, whole_group: bool = False) -> None:
        try:
            if whole_group:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)
        except ProcessLookupError:
            return  # it has gone

    def end(self) -> None:
        """Kill what is left of it."""
        self._stopping = True
        self.signal(signal.SIGKILL, whole_group=True)
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "manage.py", "worker", self.deployment],
                cwd=self._project,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=bound_to_parent(self._enter),
            )


def client_of(port: int, *, server_port: int) -> int | None:
    """The process whose end of a loopback connection has this port; None if the connection is gone."""
    inode = _inode_of(port, server_port)
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    for process in _processes():
        if any(link == wanted for link in _links(process / "fd")):
            return int(process.name)
    return None


def _inode_of(port: int, server_port: int) -> str | None:
    """From the kernel's list of connections, proc(5): local and remote address in hexadecimal, the inode tenth."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        parts = line.split()
        if parts[1].endswith(f":{port:04X}") and parts[2].endswith(f":{server_port:04X}"):
            return parts[9]
    return None


def _processes() -> Sequence[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _links(folder: Path) -> list[str]:
    found = []
    try:
        for path in folder.iterdir():
            found.append(os.readlink(path))
    except OSError:  # it ended meanwhile, or is somebody else's
        return found
    return found


def parent_of(pid: int) -> int:
    """From proc(5); the name in brackets may hold anything."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(")")[2].split()[1])


def wait_until(true: Callable[[], object], seconds: float, *, meanwhile: Callable[[], None] = lambda: None) -> bool:
    """Ask again and again until it is so; False if that takes longer."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        meanwhile()
        time.sleep(0.05)
    return True
