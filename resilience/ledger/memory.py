"""How often the kernel killed for lack of memory where this process lives: the one witness of a SIGKILL's cause."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

OWN_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
MACHINE = Path("/proc/vmstat")


def oom_kills() -> int | None:
    """Of this process's cgroup; where it has no counter, of the whole machine; None where nothing tells.

    The kernel counts before it kills, so the count is right by the time a parent hears of the death.
    """
    for path in (*_of_cgroup(), MACHINE):
        if (count := _count_in(path)) is not None:
            return count
    return None


def _of_cgroup() -> Iterator[Path]:
    """cgroups(7). A container sees its own cgroup as the root, while the path names it as the host sees it."""
    for line in _lines(OWN_CGROUP):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):  # version 1
            yield CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control"
            yield CGROUPS / "memory" / "memory.oom_control"
        elif not controllers:  # version 2
            yield CGROUPS / path.lstrip("/") / "memory.events"
            yield CGROUPS / "memory.events"


def _count_in(path: Path) -> int | None:
    for line in _lines(path):
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdecimal():
            return int(value)
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
