"""Limits of memory for a process: a control group of its own where that can be made, as containers have."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alerting.gameday.drill import CannotBePlayed
from alerting.gameday.processes import wait_until

# Version 1 has a tree for memory alone, version 2 one for all; cgroups(7).
_TREES = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


@contextmanager
def limited_memory(limit: int) -> Iterator[Callable[[], None]]:
    """A function that puts the calling process, and so its children, under a limit of so many bytes.

    Beyond it the kernel kills one of them. Raises `CannotBePlayed` where no control group can be made.
    """
    group = _group(limit)

    def enter() -> None:
        with (group / "cgroup.procs").open("w") as file:
            file.write(str(os.getpid()))

    try:
        yield enter
    finally:
        wait_until(lambda: _removed(group), 5)


def _group(limit: int) -> Path:
    for tree, file in _TREES:
        group = tree / f"watchkeeper-gameday-{secrets.token_hex(4)}"
        try:
            group.mkdir()
            if (group / file).exists():
                (group / file).write_text(str(limit))
                return group
            group.rmdir()
        except OSError:
            continue
    raise CannotBePlayed("no control group with a limit of memory can be made here: that needs root")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:  # its processes are still leaving
        return False
    return True
