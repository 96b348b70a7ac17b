from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from resilience.metrics_folder import metrics_folder_sweep
from resilience.reports import PROJECT

_TWO_PROCESSES = """
import os, sys, urllib.request
from pathlib import Path
from resilience.metrics_folder import metrics_folder_use
metrics_folder_use(Path(sys.argv[1]), deployment="realtime")
from resilience import metrics
for _ in range(2):
    child = os.fork()
    if child == 0:
        metrics.INCIDENTS.labels(kind="item", severity="error").inc()
        os._exit(0)
    os.waitpid(child, 0)
    metrics.mark_process_dead(child)
stop = metrics.metrics_serve(port=int(sys.argv[2]))
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(f"http://127.0.0.1:{sys.argv[2]}/metrics").read().decode())
stop()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_numbers_of_all_processes_are_summed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TWO_PROCESSES, str(tmp_path), str(free_port())],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 'watchkeeper_incidents_total{kind="item",severity="error"} 2.0' in done.stdout, done.stderr
    assert list((tmp_path / "realtime").glob("*.db"))


def test_a_sweep_takes_old_files_and_leaves_those_of_a_folder_in_use(tmp_path: Path) -> None:
    old = tmp_path / "counter_999999.db"
    old.touch()
    assert metrics_folder_sweep(tmp_path)
    assert not old.exists()

    old.touch()
    assert not metrics_folder_sweep(tmp_path)  # held by the first call
    assert old.exists()


def test_a_server_on_a_port_in_use_says_so() -> None:
    from resilience.metrics import metrics_serve

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            metrics_serve(port=taken.getsockname()[1])


def test_the_server_answers() -> None:
    from resilience.metrics import metrics_serve

    port = free_port()
    stop = metrics_serve(port=port)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        page = opener.open(f"http://127.0.0.1:{port}/metrics", timeout=5).read()
    finally:
        stop()

    assert b"watchkeeper_incidents_total" in page
    assert os.environ.get("PROMETHEUS_MULTIPROC_DIR") is None
