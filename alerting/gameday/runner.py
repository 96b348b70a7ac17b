"""Runs drills: a throw-away database and a process for each, and nothing left behind whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings

from alerting.gameday.database import NoDatabase, ThrowAway, throw_away
from alerting.gameday.drill import Drill
from alerting.gameday.inside import DATA, PAGES, VERDICT
from alerting.gameday.processes import bound_to_parent, wait_until
from alerting.gameday.verdict import Promise, Verdict, verdict_from_json
from resilience.file_locks import lock_taken

_END_SECONDS = 30.0
_START_SECONDS = 30.0  # of a drill's process, its database server included

# Short times, so that what takes minutes in production takes seconds here; the order of things is the same.
SETTINGS = {
    "ENVIRONMENT": "game day",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
    "MAIL_FROM": "Watchkeeper <watchkeeper@gameday.example>",
    "SMTP_TLS": "none",
    "SMTP_TIMEOUT": "2",
    "SEND_DEADLINE_SECONDS": "3",
    "LEASE_SECONDS": "20",
    "RETRY_LADDER_SECONDS": "1,2,4,8,16",
}


@dataclass(frozen=True, slots=True)
class Watch:
    """Somebody looks at the pages while a drill is played."""

    port: int
    begin: Callable[[str], object]  # told where the pages are and how to sign in; returns when the drill may begin
    end: Callable[[Verdict], object]  # told what came of it; returns when the pages may go


class GameDay:
    """Plays drills one after another. Use it as `with game_day() as day`."""

    def __init__(self, databases: ThrowAway, folder: Path) -> None:
        self._databases = databases
        self.folder = folder
        self._template = ""

    def play(
        self, drill: Drill, *, environment: Mapping[str, str] | None = None, watch: Watch | None = None
    ) -> Verdict:
        """One drill on a database of its own. `environment`: variables on top of the drill's."""
        folder = self.folder / drill.name
        folder.mkdir(exist_ok=True)
        wanted = _environment(folder) | dict(drill.environment) | dict(environment or {})
        if drill.own_server:
            try:
                return _run(drill, folder, wanted, watch)
            finally:
                _remove_server(folder)
        url = self._databases.new(template=self._migrated())
        try:
            return _run(drill, folder, wanted | {"DATABASE_URL": url}, watch)
        finally:
            self._databases.drop(url)

    def _migrated(self) -> str:
        """The template, migrated at the first call. Raises `NoDatabase`."""
        if not self._template:
            empty = self._databases.new()
            command = [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity", "0"]
            done = subprocess.run(  # noqa: S603
                command,
                cwd=settings.BASE_DIR,
                env=_environment(self.folder) | {"DATABASE_URL": empty},
                capture_output=True,
                text=True,
                check=False,
                preexec_fn=bound_to_parent(),
            )
            if done.returncode != 0:
                raise NoDatabase(f"the template could not be migrated: {done.stderr[-2000:]}")
            self._template = empty
        return self._template


@contextmanager
def game_day(*, keep: bool = False) -> Iterator[GameDay]:
    """Raises `NoDatabase`. With `keep` the folder of logs stays."""
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-gameday-"))
    try:
        with throw_away(settings.DATABASE_URL) as databases:
            yield GameDay(databases, folder)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path) -> dict[str, str]:
    """This process's variables without any setting of the product: no real mail server, Slack or Sentry is reached."""
    own = {name.upper() for name in type(settings.ENV).model_fields}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in own}
    kept.pop("Q_CLUSTER_NAME", None)
    return kept | SETTINGS | {"VAR_DIR": str(folder / "var"), "PYTHONUNBUFFERED": "1"}


def _run(drill: Drill, folder: Path, environment: Mapping[str, str], watch: Watch | None) -> Verdict:
    for name in (VERDICT, PAGES):
        (folder / name).unlink(missing_ok=True)
    command = [sys.executable, "-m", "alerting.gameday.inside", drill.name, str(folder)]
    with (folder / "drill.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            command + ([str(watch.port)] if watch else []),
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.PIPE if watch else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C is for us: we end it
            preexec_fn=bound_to_parent(),
        )
    try:
        if watch is None:
            return _verdict(drill, folder, process)
        return _watched(drill, folder, process, watch)
    finally:
        _end(process)


def _watched(drill: Drill, folder: Path, process: subprocess.Popen[bytes], watch: Watch) -> Verdict:
    if _appears(folder / PAGES, process, _START_SECONDS):
        watch.begin((folder / PAGES).read_text(encoding="utf-8"))
        assert process.stdin is not None
        process.stdin.write(b"begin\n")
        process.stdin.flush()
    verdict = _verdict(drill, folder, process)
    watch.end(verdict)
    return verdict


def _verdict(drill: Drill, folder: Path, process: subprocess.Popen[bytes]) -> Verdict:
    """What the drill's process wrote; a process that ends or hangs without a word has broken a promise."""
    if _appears(folder / VERDICT, process, _START_SECONDS + drill.seconds):
        return verdict_from_json((folder / VERDICT).read_text(encoding="utf-8"))
    code = process.poll()
    seen = "it hangs" if code is None else f"exit code {code}"
    said = (folder / "drill.log").read_text(encoding="utf-8", errors="replace").strip()[-1500:]
    text = "the drill's process ends with a verdict"
    return Verdict(drill=drill.name, broke=drill.broke, promises=[Promise(text, False, f"{seen}: {said}")])


def _appears(path: Path, process: subprocess.Popen[bytes], seconds: float) -> bool:
    return wait_until(lambda: path.exists() or process.poll() is not None, seconds) and path.exists()


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends by itself once its verdict is written; else it is asked to, and then made to."""
    if process.stdin is not None:
        process.stdin.close()
    steps: list[tuple[Callable[[], object], float]] = [
        (lambda: None, 0.5),
        (process.terminate, _END_SECONDS),
        (lambda: os.killpg(process.pid, signal.SIGKILL), _END_SECONDS),
    ]
    for step, seconds in steps:
        try:
            step()
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return


def _remove_server(folder: Path) -> None:
    """The drill's own database server leaves by itself after its last user; then its data go."""
    lock = folder / "var" / "postgres" / "launcher.lock"
    if lock.exists():
        with lock.open("rb") as file:
            wait_until(partial(lock_taken, file.fileno()), _END_SECONDS)
    data = folder / DATA
    if data.exists() and (place := Path(data.read_text(encoding="utf-8")).parent).name != "postgres":
        shutil.rmtree(place, ignore_errors=True)  # made for root, outside our folder
    shutil.rmtree(folder / "var", ignore_errors=True)
