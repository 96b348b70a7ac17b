"""Locks of files between processes, which the kernel lets go when their holder dies (flock(2))."""

from __future__ import annotations

import fcntl


def lock_taken(file: int) -> bool:
    """Whether this open file has the exclusive lock now. Does not wait; raises `OSError` where there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
