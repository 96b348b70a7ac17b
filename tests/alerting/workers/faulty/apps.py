"""The faults, each a step that does what no step should."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from django.apps import AppConfig
from django_q.exceptions import TimeoutException


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _out_of_memory() -> None:
    """What the kernel does: it counts, then it kills."""
    events = Path(os.environ["FAULTY_CGROUPS"]) / "memory.events"
    events.write_text("low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\n", encoding="ascii")
    _killed()


def _segmentation_fault() -> None:
    ctypes.string_at(0)


def _exit() -> None:
    sys.exit(0)


def _hang() -> None:
    time.sleep(600)


def _swallow() -> None:
    try:
        time.sleep(600)
    except TimeoutException:
        time.sleep(600)


def _memory() -> None:
    held = [bytes(64 << 20) for _ in range(1000)]
    raise AssertionError(f"no limit was met with {len(held)} blocks")


FAULTS: dict[str, Callable[[], None]] = {
    "killed": _killed,
    "out_of_memory": _out_of_memory,
    "segmentation_fault": _segmentation_fault,
    "exit": _exit,
    "hang": _hang,
    "swallow": _swallow,
    "memory": _memory,
}


class FaultyConfig(AppConfig):
    """Patches in every process of the deployment: they are forked after Django is set up."""

    name = "tests.alerting.workers.faulty"

    def ready(self) -> None:
        if folder := os.environ.get("FAULTY_CGROUPS"):
            _look_for_cgroups_in(Path(folder))
        if fault := os.environ.get("FAULTY"):
            _make_trouble(fault, once=Path(os.environ["FAULTY_FILE"]))


def _look_for_cgroups_in(folder: Path) -> None:
    from resilience.ledger import memory

    (folder / "own").write_text("0::/\n", encoding="ascii")
    (folder / "memory.events").write_text("oom_kill 0\n", encoding="ascii")
    memory.OWN_CGROUP, memory.CGROUPS = folder / "own", folder


def _make_trouble(fault: str, *, once: Path) -> None:
    from alerting.workers import deployment, feeder, names, tasks

    if fault == "main":
        deployment._watch = _raise  # type: ignore[assignment]
        return
    if fault == "feeder":
        feeder.Feeder.feed = _raise  # type: ignore[assignment,method-assign]
        return
    if fault == "seldom_ticks":
        names.TICK_SECONDS["realtime"] = 600.0
        return
    usual = tasks.matching_step

    def step(*, now: datetime) -> int:
        if once.exists():
            once.unlink()
            FAULTS[fault]()
        return usual(now=now)

    tasks.matching_step = step


def _raise(*args: object, **kwargs: object) -> None:
    raise RuntimeError("it stumbles whenever it starts")
