"""Why a child died, from its exit code and what the kernel counted. Pure."""

from __future__ import annotations

import signal

from resilience.ledger.models import Cause

# SIGBUS is a segmentation fault with another name, SIGABRT is what a C library does of itself.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS)


def cause_of(exit_code: int | None, *, timed_out: bool, oom_kills: int) -> Cause:
    """`exit_code` as multiprocessing gives it: negative for a signal. `oom_kills`: counted since the last look."""
    if timed_out:
        return Cause.TIMEOUT
    if exit_code is None or exit_code >= 0:
        return Cause.EXIT
    if -exit_code == signal.SIGKILL:
        return Cause.OUT_OF_MEMORY if oom_kills > 0 else Cause.KILLED
    return Cause.SEGMENTATION_FAULT if -exit_code in _CRASHES else Cause.SIGNAL


def signal_name(exit_code: int | None) -> str:
    """Such as SIGSEGV; empty where it was no signal."""
    if exit_code is None or exit_code >= 0:
        return ""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
