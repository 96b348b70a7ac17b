"""How often the kernel killed for lack of memory where this process lives: the one witness of a SIGKILL's cause."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

OWN_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
MACHINE = Path("/proc/vmstat")

# From the kernel's count to a parent that hears of the death: the dead one's memory must be given back first.
NOTICED_WITHIN_SECONDS = 5.0


def oom_kills() -> int | None:
    """Of this process's cgroup; where it has no counter, of the whole machine; None where nothing tells.

    The kernel counts before it kills, so the count is right by the time a parent hears of the death.
    """
    path = _own_counter()
    return None if path is None else _count_in(path)


def oom_counter() -> str:
    """Which counter `oom_kills` reads: its file and inode, since a cgroup made anew has its path from the last and a
    count of its own. Empty where there is none."""
    path = _own_counter()
    return "" if path is None else _identity(path)


def oom_kills_of(counter: str) -> int | None:
    """Of a counter that `oom_counter` named, in another process too; None where it is gone, or is another one now."""
    path = Path(counter.rpartition(":")[0])
    return _count_in(path) if counter and _identity(path) == counter else None


class Unexplained:
    """The kernel's kills of the last seconds that no death was put down to yet.

    Others live in the cgroup too: what was counted long before a death, or was another's cause already, is not its.
    """

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def number(self, *, now: float) -> int:
        """`now` in seconds, of a clock that only goes forward. Ask regularly: each time it looks."""
        if (count := oom_kills()) is not None:
            self._counts.append((now, count))
        while len(self._counts) > 1 and self._counts[1][0] <= now - NOTICED_WITHIN_SECONDS:
            self._counts.popleft()
        return self._counts[-1][1] - self._counts[0][1] if self._counts else 0

    def explain_one(self) -> None:
        least = self._counts[0][1] + 1 if self._counts else 0
        self._counts = deque((at, max(count, least)) for at, count in self._counts)


def _own_counter() -> Path | None:
    return next((path for path in (*_of_cgroup(), MACHINE) if _count_in(path) is not None), None)


def _identity(path: Path) -> str:
    try:
        return f"{path}:{path.stat().st_ino}"
    except OSError:
        return ""


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
