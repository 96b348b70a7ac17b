"""The watchdog is not woken for each message, and misses no deadline for it."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from alerting.transports.watchdog import Watchdog


def test_a_socket_is_shut_at_its_deadline() -> None:
    ours, theirs = socket.socketpair()
    watchdog = Watchdog(lambda: ours)

    with watchdog.until(time.monotonic() + 0.1):
        assert ours.recv(1) == b""

    assert watchdog.fired
    _close(watchdog, ours, theirs)


@pytest.mark.parametrize("first", [60.0, 0.05], ids=["later than it", "earlier than it"])
def test_a_deadline_holds_after_one_that_was(first: float) -> None:
    ours, theirs = socket.socketpair()
    watchdog = Watchdog(lambda: ours)

    with watchdog.until(time.monotonic() + first):
        time.sleep(0.01)  # by now its thread waits for the first
    with watchdog.until(time.monotonic() + 0.3):
        assert ours.recv(1) == b""

    assert watchdog.fired
    _close(watchdog, ours, theirs)


def test_messages_in_a_row_do_not_wake_it(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float | None] = []
    wait = threading.Condition.wait

    def counting(self: threading.Condition, timeout: float | None = None) -> bool:
        if threading.current_thread().name == "send-watchdog":
            slept.append(timeout)
        return wait(self, timeout)

    monkeypatch.setattr(threading.Condition, "wait", counting)
    ours, theirs = socket.socketpair()
    watchdog = Watchdog(lambda: ours)
    for _ in range(50):
        with watchdog.until(time.monotonic() + 60):
            time.sleep(0.001)

    assert len(slept) <= 2  # before the first deadline, and for it
    assert not watchdog.fired
    _close(watchdog, ours, theirs)


def _close(watchdog: Watchdog, *sockets: socket.socket) -> None:
    watchdog.close()
    for each in sockets:
        each.close()
