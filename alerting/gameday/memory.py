"""Limits of memory for a process: a control group of its own where that can be made, as containers have."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alerting.gameday.drill import CannotBePlayed
from alerting.gameday.processes import wait_until

# Version 1 has a tree for memory alone, version 2 one for all; cgroups(7).
_TREES = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.oom_control"),
    (Path("/sys/fs/cgroup"), "memory.max", "memory.events"),
)


class LimitedMemory:
    """A control group with a limit of bytes, beyond which the kernel kills one of its processes."""

    def __init__(self, group: Path, events: str) -> None:
        self._group = group
        self._events = events

    def enter(self) -> None:
        """The calling process, and so its children, from now on."""
        with (self._group / "cgroup.procs").open("w") as file:
            file.write(str(os.getpid()))

    def kills(self) -> int:
        """How many processes of the group the kernel has killed."""
        for line in (self._group / self._events).read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return 0


@contextmanager
def limited_memory(limit: int) -> Iterator[LimitedMemory]:
    """Raises `CannotBePlayed` where no control group can be made."""
    group, events = _group(limit)
    try:
        yield LimitedMemory(group, events)
    finally:
        wait_until(lambda: _removed(group), 5)


def _group(limit: int) -> tuple[Path, str]:
    for tree, file, events in _TREES:
        group = tree / f"watchkeeper-gameday-{secrets.token_hex(4)}"
        try:
            group.mkdir()
            if (group / file).exists():
                (group / file).write_text(str(limit))
                return group, events
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
