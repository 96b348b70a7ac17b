"""Real deployments of workers: processes of their own on the test's database and mail server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from django.conf import settings
from django.db import connection

from alerting.workers.journals import journal_here
from tests.smtp_server import SmtpServer

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Workers:
    """Starts deployments and ends what is left of them."""

    environment: dict[str, str]
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    seen: set[psutil.Process] = field(default_factory=set)

    def start(self, deployment: str = "realtime", **environment: str) -> subprocess.Popen[bytes]:
        """A deployment whose processes are all there."""
        process = self.begin(deployment, **environment)
        assert wait_until(lambda: len(self.children(process)) >= 4, 40), self.logs()
        return process

    def begin(
        self, deployment: str = "realtime", *, log: int | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        """`log`: a file descriptor in the place of a file of its own."""
        with (self.folder / f"{deployment}-{len(self.started)}.log").open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "worker", deployment],
                cwd=ROOT,
                env=self.environment | environment,
                stdout=file if log is None else log,
                stderr=file if log is None else log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def begin_faulty(self, fault: str, **environment: str) -> subprocess.Popen[bytes]:
        """A deployment of its own name whose first matching step misbehaves; see `faulty/apps.py`."""
        folder = self.folder / fault
        folder.mkdir()
        (folder / "once").touch()
        faulty = {
            "DJANGO_SETTINGS_MODULE": "tests.alerting.workers.faulty.settings",
            "WORKER_INSTANCE": fault,
            "FAULTY": fault,
            "FAULTY_FILE": str(folder / "once"),
            "FAULTY_CGROUPS": str(folder),
        }
        return self.begin("realtime", **faulty | environment)

    def children(self, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """Sentinel, workers, monitor, pusher."""
        try:
            found = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self.seen.update(found)
        return found

    def child(self, process: subprocess.Popen[bytes], role: str) -> psutil.Process:
        """The worker, the monitor or the pusher, known by the order in which the sentinel starts them."""
        sentinel = psutil.Process(process.pid).children()[0]
        children = sorted(sentinel.children(), key=lambda child: (child.create_time(), child.pid))
        self.seen.update(children)
        return children[("worker", "monitor", "pusher").index(role)]

    def logs(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))

    def orphans(self) -> list[psutil.Process]:
        return [one for one in self.seen if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for orphan in self.orphans():
            orphan.kill()


def wait_until(true: Callable[[], Any], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return bool(true())


@pytest.fixture(autouse=True)
def journals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Of this test alone: what another run left word of is none of its messages."""
    monkeypatch.setattr(settings, "VAR_DIR", tmp_path / "var")
    journal_here.cache_clear()
    yield
    if journal_here.cache_info().currsize:
        journal_here().leave()
    journal_here.cache_clear()


@pytest.fixture
def workers(transactional_db: None, smtp_server: SmtpServer, tmp_path: Path) -> Iterator[Workers]:
    parts = settings.DATABASES["default"]
    host, name = quote(parts["HOST"], safe=""), connection.settings_dict["NAME"]
    user = quote(parts["USER"]) + (f":{quote(parts['PASSWORD'])}" if parts["PASSWORD"] else "")
    environment = os.environ | {
        "DATABASE_URL": f"postgresql://{user}@/{name}?host={host}&port={parts['PORT'] or 5432}",
        "VAR_DIR": str(tmp_path / "var"),
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(smtp_server.port),
        "SEND_DEADLINE_SECONDS": "3",
        "LEASE_SECONDS": "20",
        "LOG_FORMAT": "json",
    }
    environment.pop("Q_CLUSTER_NAME", None)
    running = Workers(environment, tmp_path)
    yield running
    running.end()
