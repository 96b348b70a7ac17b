"""The watchdog is not woken for each message, and misses no deadline for it."""

from __future__ import annotations

import os
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


def test_one_that_fails_takes_no_deadline_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread looks after all of a process."""
    failures = iter([MemoryError, MemoryError])
    real = threading.Condition.wait

    def failing(self: threading.Condition, timeout: float | None = None) -> bool:
        if threading.current_thread().name == "send-watchdog" and (failure := next(failures, None)):
            raise failure
        return real(self, timeout)

    def gone() -> socket.socket | None:
        raise RuntimeError("its connection is in pieces")

    ours, theirs = socket.socketpair()
    broken, watchdog = Watchdog(gone), Watchdog(lambda: ours)
    monkeypatch.setattr(threading.Condition, "wait", failing)

    with broken.until(time.monotonic()), watchdog.until(time.monotonic() + 0.3):
        assert ours.recv(1) == b""

    assert broken.fired
    assert watchdog.fired
    broken.close()
    _close(watchdog, ours, theirs)


def test_a_forked_process_has_a_watch_of_its_own() -> None:
    ours, theirs = socket.socketpair()
    watchdog = Watchdog(lambda: ours)  # the parent's thread runs
    child = os.fork()
    if child == 0:
        mine, _other = socket.socketpair()
        dog = Watchdog(lambda: mine)
        mine.settimeout(5)
        with dog.until(time.monotonic() + 0.1):
            heard = mine.recv(1)
        os._exit(0 if heard == b"" and dog.fired else 1)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    _close(watchdog, ours, theirs)


def _close(watchdog: Watchdog, *sockets: socket.socket) -> None:
    watchdog.close()
    for each in sockets:
        each.close()
