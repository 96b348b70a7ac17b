"""Tests of the embedded PostgreSQL: real servers, real signals, each with data of its own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from config import embedded_postgres, postgres_account
from config.embedded_postgres import EmbeddedPostgresFault, binaries, ensure_running
from config.postgres_account import choose_account
from config.postgres_server import PostgresServer, ServerFault

PROJECT = Path(__file__).parents[2]
USER = (
    "import sys; from pathlib import Path; from config.embedded_postgres import ensure_running\n"
    "print(ensure_running(Path(sys.argv[1])), flush=True); sys.stdin.read()"
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@contextmanager
def user_of(var: Path, *prefix: str, python: str = sys.executable) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that uses the database, and the URL that it was given."""
    with subprocess.Popen(
        [*prefix, python, "-c", USER, str(var)],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), *site.getsitepackages()])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise AssertionError(process.communicate()[1])
        try:
            yield process, url
        finally:
            process.kill()


def ask(url: str, question: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(question)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def server_pid(var: Path) -> int:
    return int((var / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def launcher_pid(var: Path) -> int:
    stat = Path(f"/proc/{server_pid(var)}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def var() -> Iterator[Path]:
    """A folder with a space in its path, closed to others; afterwards nothing of it runs any more."""
    with tempfile.TemporaryDirectory(prefix="wk ") as checkout:
        folder = Path(checkout) / "var"
        folder.mkdir()
        yield folder
        lock = folder / "postgres" / "data" / "postmaster.pid"
        assert wait_for(lambda: not lock.exists(), 40)


def test_the_database_is_as_the_program_needs_it(var: Path) -> None:
    with user_of(var) as (_, url), psycopg.connect(url) as connection:
        settings = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]  # type: ignore[index]
            for name in ("listen_addresses", "server_encoding", "timezone", "fsync", "is_superuser")
        }
        who = connection.execute("SELECT current_user, current_database()").fetchone()

    assert settings == {
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "timezone": "UTC",
        "fsync": "on",
        "is_superuser": "on",
    }
    assert who == ("watchkeeper", "watchkeeper")
    assert (var / "postgres" / "data" / "PG_VERSION").exists()
    assert (var / "postgres").stat().st_mode & 0o077 == 0


def test_a_second_user_finds_the_server_running(var: Path) -> None:
    with user_of(var) as (_, first):
        ask(first, "CREATE TABLE kept (n int)")
        with user_of(var) as (_, second):
            assert ask(second, "SELECT count(*) FROM kept") == 0

    assert first == second


def test_the_server_ends_after_its_last_user_even_if_that_one_was_killed(var: Path) -> None:
    with user_of(var) as (first, url):
        pid = server_pid(var)
        with user_of(var) as (second, _):
            first.kill()
            first.wait()
            time.sleep(embedded_postgres.LINGER_SECONDS + 1)
            assert ask(url, "SELECT 1") == 1

            second.kill()

            assert wait_for(lambda: has_ended(pid))


def test_a_killed_launcher_takes_the_server_with_it_and_the_data_stay(var: Path) -> None:
    with user_of(var) as (_, url):
        ask(url, "CREATE TABLE kept AS SELECT 7 AS n")
        server, launcher = server_pid(var), launcher_pid(var)

        os.kill(launcher, signal.SIGKILL)

        with user_of(var) as (_, again):  # at once, while the old server is still ending
            assert ask(again, "SELECT n FROM kept") == 7
            assert server_pid(var) != server
        assert has_ended(server)


def test_a_killed_server_is_started_again(var: Path) -> None:
    with user_of(var) as (_, url):
        ask(url, "CREATE TABLE kept AS SELECT 7 AS n")
        killed = server_pid(var)

        os.kill(killed, signal.SIGKILL)

        assert wait_for(lambda: has_ended(killed))
        with user_of(var) as (_, again):
            assert wait_for(lambda: answer_of(again, "SELECT n FROM kept") == 7)


def answer_of(url: str, question: str) -> object:
    try:
        return ask(url, question)
    except psycopg.OperationalError:
        return None


def test_two_first_starts_at_once_share_one_server(var: Path) -> None:
    command = [sys.executable, "-c", USER, str(var)]
    users = [
        subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    urls = {user.stdout.readline().strip() for user in users if user.stdout}

    assert len(urls) == 1
    assert ask(urls.pop(), "SELECT 1") == 1
    for user in users:
        user.communicate()


def test_a_user_who_comes_while_the_server_is_stopping_gets_a_new_one(var: Path) -> None:
    with user_of(var):
        pass
    stopping = var / "postgres" / "server.log"
    assert wait_for(lambda: "received fast shutdown request" in stopping.read_text())

    with user_of(var) as (_, url):
        assert ask(url, "SELECT 1") == 1


def test_a_lock_file_left_by_a_power_cut_is_seen_through(var: Path) -> None:
    with user_of(var):
        pid = server_pid(var)
    assert wait_for(lambda: has_ended(pid))
    # The number now belongs to another living process: this one.
    (var / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{var}\n0\n5432\n\n\n")

    with user_of(var) as (_, url):
        assert ask(url, "SELECT 1") == 1


def test_an_interrupted_first_start_is_begun_anew(var: Path) -> None:
    unfinished = var / "postgres" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    with user_of(var) as (_, url):
        assert ask(url, "SELECT 1") == 1

    assert not unfinished.exists()


@pytest.mark.parametrize("name", ["long" * 40, "comma, and 'quote'"])
def test_the_socket_moves_where_the_path_does_not_suit_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    with user_of(folder) as (_, url):
        assert ask(url, "SELECT 1") == 1
        pid = server_pid(folder)
        sockets = Path((folder / "postgres" / "socket_folder").read_text())

        assert sockets.parent == Path("/tmp")
        assert sockets.stat().st_mode & 0o077 == 0
    assert wait_for(lambda: has_ended(pid))
    assert wait_for(lambda: not sockets.exists())


def opens(python: str, prefix: list[str]) -> bool:
    """Whether another user may run this Python with our packages."""
    probe = "import subprocess, sys, psycopg, config.embedded_postgres; subprocess.check_call([sys.executable, '-V'])"
    packages = os.pathsep.join([str(PROJECT), *site.getsitepackages()])
    done = subprocess.run(
        [*prefix, python, "-c", probe], cwd=PROJECT, env=os.environ | {"PYTHONPATH": packages}, capture_output=True
    )
    return done.returncode == 0


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv here")
def test_an_ordinary_user_runs_it_as_itself() -> None:
    nobody = pwd.getpwnam("nobody")
    prefix = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    python = next((name for name in (sys.executable, "/usr/bin/python3") if opens(name, prefix)), "")
    if not python:
        pytest.skip("this checkout is closed to other users")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        var = Path(folder)
        with user_of(var, *prefix, python=python) as (_, url):
            pid = server_pid(var)
            owner = Path(f"/proc/{pid}").stat().st_uid
            assert ask(url, "SELECT 1") == 1
        assert wait_for(lambda: has_ended(pid))
        with user_of(var) as (_, url):  # root goes on with that user's data, as that user
            assert ask(url, "SELECT 1") == 1
            pid = server_pid(var)
            assert Path(f"/proc/{pid}").stat().st_uid == owner == nobody.pw_uid
        assert wait_for(lambda: has_ended(pid))


@as_root
def test_without_user_namespaces_root_runs_it_as_a_system_user(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as system:
        Path(system).chmod(0o755)
        monkeypatch.setattr(postgres_account, "SYSTEM_FOLDER", Path(system))
        monkeypatch.setattr(postgres_account, "_in_namespace", lambda *_: None)

        account = choose_account(var / "postgres", binaries())
        server = PostgresServer(account, Path(system) / "server.log")
        try:
            server.start()
            owner = server.data.stat().st_uid
        finally:
            server.stop()

    assert owner != 0
    assert server.data.is_relative_to(system)


def test_data_of_another_version_are_left_alone(var: Path) -> None:
    data = var / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("15\n")

    with pytest.raises(EmbeddedPostgresFault, match="data of PostgreSQL 15"):
        ensure_running(var)

    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_missing_binaries_are_said_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(EmbeddedPostgresFault, match="set DATABASE_URL"):
        binaries()


def test_a_full_disk_is_named(var: Path) -> None:
    server = PostgresServer(choose_account(prepared(var), binaries()), var / "server.log")

    fault = server._fault("initdb failed", "initdb: error: could not write: No space left on device")

    assert isinstance(fault, ServerFault)
    assert "is full" in str(fault)


def test_a_socket_folder_of_somebody_else_is_refused(var: Path) -> None:
    (prepared(var) / "socket").mkdir(mode=0o777)
    (var / "postgres" / "socket").chmod(0o777)

    with pytest.raises(ServerFault, match="not a private folder"):
        PostgresServer(choose_account(var / "postgres", binaries()), var / "server.log")


def prepared(var: Path) -> Path:
    (var / "postgres").mkdir(exist_ok=True)
    return var / "postgres"
