"""A cause by exit code and kernel."""

from __future__ import annotations

import signal

import pytest

from resilience.ledger.causes import cause_of, signal_name


@pytest.mark.parametrize(
    ("exit_code", "timed_out", "oom_kills", "cause"),
    [
        (-signal.SIGKILL, False, 0, "killed"),
        (-signal.SIGKILL, False, 1, "out_of_memory"),
        (-signal.SIGSEGV, False, 0, "segmentation_fault"),
        (-signal.SIGSEGV, False, 1, "segmentation_fault"),
        (-signal.SIGBUS, False, 0, "segmentation_fault"),
        (-signal.SIGABRT, False, 0, "signal"),
        (-signal.SIGKILL, True, 0, "timeout"),
        (0, False, 0, "exit"),
        (3, False, 0, "exit"),
        (None, False, 0, "exit"),
    ],
)
def test_a_cause_is_named(exit_code: int | None, timed_out: bool, oom_kills: int, cause: str) -> None:
    assert cause_of(exit_code, timed_out=timed_out, oom_kills=oom_kills) == cause


def test_a_signal_has_a_name() -> None:
    assert [signal_name(code) for code in (-11, -50, 1, None)] == ["SIGSEGV", "signal 50", "", ""]
