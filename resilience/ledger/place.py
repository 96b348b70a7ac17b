"""Which process, exactly: a pid alone is used again, by later processes, other containers and other machines."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Place:
    """A process by host, boot of its kernel, pid namespace, pid and start in clock ticks since boot."""

    host: str
    boot_id: str
    pid_namespace: int
    pid: int
    born: int


def process_name(*, host: str, pid: int, start: uuid.UUID) -> str:
    """At most 200 characters. Host and pid for people; containers that share a host's name may share both, so what
    makes it unique is the start: of the deployment that the process belongs to, or its own."""
    return f"{host[:150]}:{pid}:{start.hex}"


def place_here(pid: int | None = None, *, proc: Path = PROC) -> Place:
    """Of this process, or of another of the same namespace."""
    pid = os.getpid() if pid is None else pid
    return Place(
        host=socket.gethostname()[:255],
        boot_id=_read(proc / "sys/kernel/random/boot_id")[:36],
        pid_namespace=_pid_namespace(proc),
        pid=pid,
        born=born_at(pid, proc=proc),
    )


def lives(there: Place, *, here: Place, proc: Path = PROC) -> bool | None:
    """Whether the process still runs; None where that cannot be seen from here."""
    same = (there.host, there.boot_id, there.pid_namespace) == (here.host, here.boot_id, here.pid_namespace)
    if not same or not there.boot_id or not there.born:
        return None
    return born_at(there.pid, proc=proc) == there.born


def born_at(pid: int, *, proc: Path = PROC) -> int:
    """Field 22 of `/proc/PID/stat` (proc(5)); 0 if there is no such process, or only its zombie."""
    fields = _read(proc / str(pid) / "stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[0] not in ("Z", "X") else 0


def _pid_namespace(proc: Path) -> int:
    try:
        return (proc / "self/ns/pid").stat().st_ino
    except OSError:
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
