"""One PostgreSQL server with data of its own, reached only through a Unix socket in a private folder.

Made, started and stopped here; when it runs is decided in `config.embedded_postgres`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from config.postgres_account import Account

NAME = "watchkeeper"  # of the superuser and of the database
MAJOR = "18"  # what `pginstall18` can read
PORT = 5432  # only part of the socket's name: nothing listens on the network
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")  # sun_path of unix(7): 108 bytes with its zero
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - owner and mode of our folder in it are checked
START_SECONDS, STOP_SECONDS = 60.0, 20.0
LOG_BYTES = 10_000_000


class ServerFault(Exception):
    """The server cannot be made or started; the message says why and what helps."""


def url_of(sockets: str, database: str = NAME) -> str:
    """The address of a database behind the socket in the folder `sockets`."""
    return f"postgresql://{NAME}@/{database}?host={quote(sockets, safe='')}&port={PORT}"


def answers(sockets: str, database: str = NAME) -> bool:
    """Whether a server behind the socket takes connections to the database now."""
    try:
        psycopg.connect(url_of(sockets, database), connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


class PostgresServer:
    """The server of one account. Its methods block; one process uses them, under a lock."""

    def __init__(self, account: Account, log: Path) -> None:
        self.account = account
        self.data = account.folder / "data"
        self.log = log
        self.sockets = _socket_folder(account)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Makes the data where there are none, then starts the server and waits until it answers.

        Raises `ServerFault`.
        """
        self._make_data()
        self._wait_for_predecessor()
        deadline = time.monotonic() + START_SECONDS
        while not self._start_once(deadline):
            time.sleep(0.2)
        self._make_database()

    def stop(self) -> None:
        """Ends the server: open transactions roll back, and the data are left clean."""
        if self.process is None:
            return
        for sign, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            self.process.send_signal(sign)
            try:
                self.process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None
        if Path(self.sockets).parent == SHORT_FOLDER:
            with suppress(OSError):  # not empty after a kill: the next start uses it again
                Path(self.sockets).rmdir()

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _make_data(self) -> None:
        version = self.data / "PG_VERSION"
        if version.exists():
            found = version.read_text().strip()
            if found != MAJOR:
                raise ServerFault(
                    f"{self.data} holds data of PostgreSQL {found}, and the binaries here are of {MAJOR}: "
                    "dump them with the old version and load them, or move the folder away"
                )
            return
        # Made beside its place and renamed, so that an interrupted initdb is never taken for data.
        unfinished = self.account.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        with tempfile.TemporaryFile() as output:
            returned = self._begin(self._initdb(unfinished), output.fileno()).wait()
            output.seek(0)
            said = output.read().decode(errors="replace")
        if returned != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise self._fault("initdb failed", said)
        unfinished.rename(self.data)

    def _initdb(self, data: Path) -> list[str]:
        binary = str(self.account.install / "bin" / "initdb")
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return [binary, "-D", str(data), "-U", NAME, "--auth=trust", "--encoding=UTF8", *locale]

    def _begin(self, command: list[str], output: int) -> subprocess.Popen[bytes]:
        """Starts a child as the account, without the caller's PG… variables, in a folder it may enter."""
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        return subprocess.Popen(  # noqa: S603
            command,
            preexec_fn=self.account.preexec(),
            env=kept | {"LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

    def _wait_for_predecessor(self) -> None:
        """A server whose launcher was killed is still writing: wait for it. A dead one's lock file: remove it.

        After a power cut the number in the file may belong to some other process, which PostgreSQL would take
        for its predecessor.
        """
        lock = self.data / "postmaster.pid"
        deadline = time.monotonic() + START_SECONDS
        while (number := _first_line(lock)) and self._is_our_server(number):
            if time.monotonic() > deadline:
                raise ServerFault(f"an earlier PostgreSQL (process {number}) still uses {self.data} and does not end")
            time.sleep(0.05)
        lock.unlink(missing_ok=True)

    def _is_our_server(self, number: str) -> bool:
        """A PostgreSQL server works in its data folder."""
        try:
            return os.path.samefile(f"/proc/{int(number)}/cwd", self.data)
        except (OSError, ValueError):
            return False

    def _start_once(self, deadline: float) -> bool:
        """True when the server answers, False when another try is worth it."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old.log"))
        with self.log.open("ab") as output:
            begin = output.tell()
            self.process = self._begin(self._command(), output.fileno())
        while not answers(self.sockets, "postgres"):
            if self.process.poll() is not None:
                said = self.log.read_bytes()[begin:].decode(errors="replace")
                if "shared memory block" in said and time.monotonic() < deadline:
                    return False  # the last children of a killed server are just leaving
                raise self._fault("PostgreSQL did not start", said)
            if time.monotonic() > deadline:
                self.stop()
                raise ServerFault(f"PostgreSQL did not answer within {START_SECONDS:.0f} s; see {self.log}")
            time.sleep(0.03)
        return True

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.sockets}"',
            "unix_socket_permissions": "0700",
            "port": PORT,
            "max_connections": 200,
            "timezone": "UTC",
            "log_timezone": "UTC",
            # The application reports its own faults; this log is for the server's.
            "log_min_messages": "log",
            "log_checkpoints": "off",
        }
        binary = str(self.account.install / "bin" / "postgres")
        return [binary, "-D", str(self.data), *(f"--{key}={value}" for key, value in settings.items())]

    def _make_database(self) -> None:
        with psycopg.connect(url_of(self.sockets, "postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))

    def _fault(self, what: str, said: str) -> ServerFault:
        if "No space left on device" in said:
            return ServerFault(f"{what}: the disk that holds {self.account.folder} is full")
        last = "\n  ".join(said.strip().splitlines()[-8:])
        return ServerFault(f"{what} in {self.account.folder}. It said:\n  {last}")


def _first_line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0].strip()
    except FileNotFoundError:
        return ""


def _socket_folder(account: Account) -> str:
    """A private folder for the socket: with the data where the path is short and plain, else a short one.

    Raises `ServerFault` if somebody else has put something in that place.
    """
    beside = account.folder / "socket"
    plain = re.fullmatch(r"[\w./ -]+", str(beside), re.ASCII)  # libpq splits at commas
    if plain and len(os.fsencode(beside)) <= LONGEST_SOCKET_FOLDER:
        chosen = beside
    else:
        digest = hashlib.sha256(os.fsencode(account.folder)).hexdigest()[:12]
        chosen = SHORT_FOLDER / f"watchkeeper-{account.uid}-{digest}"
    try:
        chosen.mkdir(mode=0o700)
        os.chown(chosen, account.uid, account.gid)
    except FileExistsError:
        pass
    found = chosen.lstat()
    if chosen.is_symlink() or not chosen.is_dir() or found.st_uid != account.uid or found.st_mode & 0o077:
        raise ServerFault(f"{chosen} is not a private folder of user {account.uid}: remove it")
    return str(chosen)
