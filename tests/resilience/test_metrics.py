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


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def read_from(address: str, port: int) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    page: bytes = opener.open(f"http://{address}:{port}/metrics", timeout=5).read()
    return page


def test_the_server_answers() -> None:
    from resilience.metrics import metrics_serve

    port = free_port()
    stop = metrics_serve(port=port)
    try:
        page = read_from("127.0.0.1", port)
    finally:
        stop()

    assert b"watchkeeper_incidents_total" in page
    assert os.environ.get("PROMETHEUS_MULTIPROC_DIR") is None


@pytest.mark.parametrize(
    ("host", "answers", "does_not"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        ("127.0.0.2", "127.0.0.2", "127.0.0.1"),
        pytest.param("::1", "[::1]", "127.0.0.1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
        ("localhost", "localhost", "127.0.0.2"),
    ],
)
def test_it_listens_on_the_given_address_and_no_other(host: str, answers: str, does_not: str) -> None:
    from resilience.metrics import metrics_serve

    port = free_port()
    stop = metrics_serve(host=host, port=port)
    try:
        page = read_from(answers, port)
        with pytest.raises(OSError, match="refused"):
            read_from(does_not, port)
    finally:
        stop()

    assert b"watchkeeper_incidents_total" in page


def test_an_address_of_another_machine_is_an_error() -> None:
    from resilience.metrics import metrics_serve

    with pytest.raises(OSError, match="assign requested address"):
        metrics_serve(host="192.0.2.1", port=free_port())


def test_a_start_asks_no_dns_for_the_name_of_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    from resilience.metrics import metrics_serve

    asked: list[str] = []
    monkeypatch.setattr(socket, "getfqdn", lambda name="": asked.append(name) or name)

    metrics_serve(host="127.0.0.2", port=free_port())()

    assert asked == []
