"""Postfix's `smtp-sink`: takes mails as fast as a mail server can, so that the sender is what is measured.

It can wait before it answers the end of a mail (`-W .:SECONDS`), but counts whole seconds only. For 20 ms it is given a
clock that runs 5,000 times as fast (`sink_clock.c`, compiled here and preloaded) and waits for 100 of its seconds:
measured 20.0 to 20.4 ms on an idle machine, and for each connection by itself. Nothing else waits, so one mail takes
one such delay in all, however its envelope is sent.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from benchmarks.stage.ports import answered, free_port

PACKAGES = ("postfix", "gcc", "libc6-dev")
CLOCK = 5_000
_CLOCK_SOURCE = Path(__file__).with_name("sink_clock.c")
_COUNTED = re.compile(rb"mesg=(\d+)")


class NoSink(Exception):
    """There is no smtp-sink or no clock for it, and they cannot be installed: a slower server would measure itself."""


def sink_install() -> None:
    """Make sure that it is there. Raises `NoSink`."""
    if _can_be_run():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        with _no_services():
            _apt("update")
            _apt("install", "-y", "--no-install-recommends", *PACKAGES)
    if not _can_be_run():
        raise NoSink(
            f"smtp-sink is not here, or C cannot be compiled: install {', '.join(PACKAGES)} (Debian 12, Ubuntu 22.04)"
        )


class SmtpSink:
    """A running smtp-sink; a context manager. `delay`: seconds before the answer to the end of each mail."""

    def __init__(self, *, delay: float = 0.0, connections: int = 500) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory()
        clock = _clock(Path(self._folder.name)) if delay else None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the sink
        self._process = subprocess.Popen(
            _command(self.port, delay, connections),
            env=_environment(clock),
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        answered(self.port)
        if clock is not None and str(clock) not in Path(f"/proc/{self._process.pid}/maps").read_text():
            self._end()
            raise NoSink("the clock of smtp-sink is not loaded: may programs run from the folder for temporary files?")

    def count(self) -> int:
        """Mails that it has taken so far."""
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - 200))
        found = _COUNTED.findall(self._said.read())
        return int(found[-1]) if found else 0

    def __enter__(self) -> SmtpSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._said.close()
        self._folder.cleanup()


def _command(port: int, delay: float, connections: int) -> list[str]:
    waits = ["-W", f".:{round(delay * CLOCK)}", "-t", "100000000"] if delay else []
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    # -c: it counts what it takes, which costs it a write of 40 bytes
    return [str(_sink()), "-c", "-m", str(connections), *user, *waits, f"127.0.0.1:{port}", "1000"]


def _environment(clock: Path | None) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "")} | ({"LD_PRELOAD": str(clock)} if clock else {})


def _clock(folder: Path) -> Path:
    """Compiled into this folder. Raises `NoSink`."""
    library = folder / "sink_clock.so"
    # a function that the C library lacks is missed now, not by the sink
    options = ("-O2", "-shared", "-fPIC", "-Werror", "-Wl,-z,defs", f"-DRATE={CLOCK}LL")
    command = ["gcc", *options, "-o", str(library), str(_CLOCK_SOURCE)]
    try:
        subprocess.run(command, check=True, timeout=60, capture_output=True)
    except (OSError, subprocess.SubprocessError) as fault:
        raise NoSink("the clock of smtp-sink cannot be compiled") from fault
    return library


def _can_be_run() -> bool:
    if _sink() is None:
        return False
    with tempfile.TemporaryDirectory() as folder, suppress(NoSink):
        _clock(Path(folder))
        return True
    return False


def _sink() -> str | None:
    return shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _apt(*command: str) -> None:
    """What it says is of no use: whether the program is there decides."""
    subprocess.run(
        ["apt-get", "-qq", *command],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian starts a package's services unless this file says 101; one that is there already is left alone."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
