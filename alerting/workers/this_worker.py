"""What a worker process knows of itself: whose it is, and a place in shared memory for the step that it is at.

The place has no lock and outlives the worker: after a death the sentinel reads there how far it came.
"""

from __future__ import annotations

import gc
import os
from ctypes import Array, c_char
from multiprocessing.sharedctypes import RawArray

from alerting.cycle.context import worker_name
from resilience.ledger.book import Run

_LENGTH = 64

_run: list[Run] = []
_step: list[Array[c_char]] = []


def step_place() -> Array[c_char]:
    """Made by the sentinel before it forks a worker."""
    return RawArray(c_char, _LENGTH)


def become(run: Run, step: Array[c_char]) -> None:
    """The first thing in a worker."""
    _run[:], _step[:] = [run], [step]
    imports_freeze()


def imports_freeze() -> None:
    """Nobody looks for garbage any more in all that was imported, which takes 80 ms each time."""
    gc.freeze()


def this_run() -> Run | None:
    """None outside of a deployment, where tasks can be called too."""
    return _run[0] if _run else None


def this_worker_name() -> str:
    """Under which the claims of this process are made, and found by whoever sees it die."""
    run = this_run()
    return run.process_name(os.getpid()) if run else worker_name()


def step_note(name: str) -> None:
    for place in _step:
        place.value = name.encode("ascii", "replace")[: _LENGTH - 1]


def step_of(place: Array[c_char]) -> str:
    return bytes(place.value).decode("ascii", "replace")
