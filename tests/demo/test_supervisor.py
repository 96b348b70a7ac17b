"""Tests of `python -m demo`: a real start and stop on free ports, with a database of its own."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.supervisor import DemoFault, _free_port, box, choose_ports

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_refused_with_the_name_of_its_variable(taken: int) -> None:
    with pytest.raises(DemoFault, match=f"Port {taken} .* PORT, for example: PORT="):
        choose_ports(taken, {})
    with pytest.raises(DemoFault, match="DEMO_SMTP_PORT"):
        choose_ports(_free_port(), {"DEMO_SMTP_PORT": str(taken)})


def test_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(DemoFault, match="DEMO_AIS_PORT = 'many'"):
        choose_ports(_free_port(), {"DEMO_AIS_PORT": "many"})


def test_the_box_is_as_wide_as_its_longest_line() -> None:
    lines = box([("a", "short"), ("b", "a longer line")]).strip().splitlines()

    assert len({len(line) for line in lines}) == 1


def environment(var: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "PUBLIC_URL")}
    names = ("PORT", "DEMO_AIS_PORT", "DEMO_SMTP_PORT", "DEMO_MAIL_PORT")
    return kept | {"VAR_DIR": str(var)} | {name: str(_free_port()) for name in names}


def processes_using(var: Path) -> list[str]:
    """The command lines of all processes that name the folder in their command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(var) in words:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def wait_until_gone(var: Path, seconds: float) -> list[str]:
    deadline = time.monotonic() + seconds
    while (left := processes_using(var)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def start(settings: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=PROJECT,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"ended before it said {words!r}:\n{said}")


def status_of(port: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
    connection.request("GET", path)
    return connection.getresponse().status


@pytest.mark.timeout(300)
def test_the_demo_starts_stops_starts_again_and_leaves_nothing_behind(tmp_path: Path) -> None:
    var = tmp_path / "a var"
    settings = environment(var)

    with start(settings) as first:
        said = read_until(first, "stop        Ctrl-C")
        assert status_of(settings["PORT"], "/healthz") == 200
        assert status_of(settings["DEMO_MAIL_PORT"], "/") == 200
        assert not (var / "demo" / "prepare.log").read_text()
        first.send_signal(signal.SIGINT)
        rest = first.communicate(timeout=40)[0]
        assert first.returncode == 0, rest
    assert "ana@kahu.example" in said
    assert wait_until_gone(var, 20) == []

    with start(settings) as second:
        read_until(second, "stop        Ctrl-C")
        second.kill()
    assert wait_until_gone(var, 40) == []
