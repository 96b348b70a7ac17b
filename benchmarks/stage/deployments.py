"""Real deployments of workers as processes, with somebody who starts again what ended, as systemd would."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from benchmarks.stage.databases import ROOT

START_SECONDS, STOP_SECONDS = 60.0, 60.0
_PROCESSES = 5  # main, sentinel, worker, monitor, pusher


class Late(Exception):
    """What was waited for did not come in time."""


def wait_until(true: Callable[[], object], *, seconds: float, what: str) -> None:
    """Raises `Late`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Late(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.02)


@dataclass
class Deployment:
    """`manage.py worker NAME` as the host `instance`."""

    name: str
    instance: str
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)
    ends: list[int] = field(default_factory=list)  # exit codes

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "worker", self.name],
                cwd=ROOT,
                env=dict(self.environment) | {"WORKER_INSTANCE": self.instance},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_up(self) -> bool:
        return self.process.poll() is None and len(self._family()) >= _PROCESSES

    def supervise(self) -> None:
        """Start it again if it has ended."""
        if (code := self.process.poll()) is not None:
            self.ends.append(code)
            self.start()

    def kill_worker(self) -> None:
        """SIGKILL to the process that sends: the first that the sentinel started."""
        sentinel = psutil.Process(self.process.pid).children()[0]
        workers = sorted(sentinel.children(), key=lambda child: (child.create_time(), child.pid))
        workers[0].kill()

    def kill_all(self) -> None:
        """SIGKILL to all of its processes, as a power cut does."""
        for process in self._family():
            process.kill()

    def stop(self) -> int:
        """SIGTERM, then wait; returns the exit code. Raises `TimeoutExpired`."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def _family(self) -> list[psutil.Process]:
        try:
            main = psutil.Process(self.process.pid)
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


class Deployments:
    """Several of them; a context manager that leaves none behind."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self.all: list[Deployment] = []

    def begin(self, name: str, *, instance: str = "host-a") -> Deployment:
        log = self._folder / f"{name}-{instance}.log"
        self.all.append(Deployment(name, instance, self._environment, log))
        return self.all[-1]

    def wait(self) -> None:
        """Until all are up."""
        wait_until(lambda: all(each.is_up() for each in self.all), seconds=START_SECONDS, what="a deployment")

    def supervise(self) -> None:
        for each in self.all:
            each.supervise()

    def __enter__(self) -> Deployments:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self.all:
            if each.process.poll() is None:
                each.process.send_signal(signal.SIGTERM)
        for each in self.all:
            try:
                each.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                each.kill_all()
                each.process.wait()
