"""The web as operators start it: a real gunicorn with our file of settings."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config.environment import BASE_DIR

COMMAND = [sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py", "config.wsgi"]
UNUSED = "postgresql:///nobody"  # the pages asked for here need no database


def environment(**variables: str) -> dict[str, str]:
    return os.environ | {"DATABASE_URL": UNUSED} | variables


@contextmanager
def web(port: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(COMMAND, cwd=BASE_DIR, env=environment(PORT=str(port), **variables))
    try:
        wait_for(lambda: answers(port))
        yield process
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str = "/healthz") -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(what: Callable[[], object], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def children(process: subprocess.Popen[bytes]) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return [int(pid) for pid in found.split()]


def test_metrics_of_earlier_runs_and_of_dead_workers_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    left = folder / "counter_999999999.db"
    left.touch()

    port = free_port()
    with web(port, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as process:
        served = answers(port, "/metrics")
        swept = not left.exists()
        worker = children(process)[0]
        gauge = folder / f"gauge_livesum_{worker}.db"
        gauge.touch()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not gauge.exists())
        wait_for(lambda: len(children(process)) == 2)

    assert swept
    assert served


def test_a_wrong_setting_ends_the_web_with_its_name() -> None:
    run = subprocess.run(
        COMMAND, cwd=BASE_DIR, env=environment(SMTP_PORT="x"), capture_output=True, text=True, check=False, timeout=20
    )

    assert run.returncode != 0
    assert "SMTP_PORT = 'x'" in run.stderr
    assert "Traceback" not in run.stderr
