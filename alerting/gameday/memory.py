"""Limits of memory for a process: a control group of its own where that can be made, as containers have.

Root makes one anywhere. Others make it beside their own group where that was handed to them, as systemd does for the
services and scopes of a user.
"""

from __future__ import annotations

import os
import secrets
import subprocess
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
        for parent in (tree, *_own_groups(tree)):
            group = parent / f"watchkeeper-gameday-{secrets.token_hex(4)}"
            if _made(group, group / file, limit) and _may_enter(LimitedMemory(group, events)):
                return group, events
            _removed(group)
    raise CannotBePlayed(
        "no control group with a limit of memory can be made here: that needs root, or a group of one's own,"
        " as of systemd-run --user --scope -p Delegate=yes"
    )


def _own_groups(tree: Path) -> Iterator[Path]:
    """Our own group and those around it in this tree, from the inside; the paths of cgroups(7) are of either tree."""
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii", errors="replace").splitlines():
        path = tree / line.split(":", 2)[2].lstrip("/")
        yield from (one for one in (path, *path.parents) if one != tree and tree in one.parents and one.is_dir())


def _made(group: Path, file: Path, limit: int) -> bool:
    try:
        group.mkdir()
        if file.exists():  # else memory is not kept in this tree
            file.write_text(str(limit))
            return True
    except OSError:
        return False
    return False


def _may_enter(memory: LimitedMemory) -> bool:
    """To make a group is one right, to move a process into it another."""
    try:
        subprocess.run(["true"], preexec_fn=memory.enter, check=True)  # noqa: S607 (wherever it is)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:  # its processes are still leaving
        return False
    return True
