"""Tests of the simulated receiver as a program on a socket."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from demo.supervisor import _free_port


@pytest.fixture
def receiver() -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = _free_port()
    command = [sys.executable, "-m", "demo.simulator", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # says that it listens
        yield process, port
        process.kill()


def test_whoever_connects_hears_the_fleet_at_once_and_then_more(receiver: tuple[subprocess.Popen[str], int]) -> None:
    _, port = receiver

    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile() as lines:
        heard = [next(lines) for _ in range(200)]

    assert all(line.startswith("\\s:demo,c:") and "!AIVDM," in line for line in heard)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal_without_a_word_while_somebody_listens(
    receiver: tuple[subprocess.Popen[str], int], number: signal.Signals
) -> None:
    process, port = receiver
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as reads,
        socket.create_connection(("127.0.0.1", port), timeout=10),  # does not read
    ):
        reads.recv(100)

        process.send_signal(number)
        _, complaints = process.communicate(timeout=10)

    assert process.returncode == 0
    assert complaints == ""
