"""The folder in which the processes of one deployment keep their metrics.

This module must not import prometheus_client, which looks at the environment once, when it is imported.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_NOT_IN_A_NAME = re.compile(r"[^\w.-]")
_OF_PROCESS = re.compile(r"_(\d+)\.db$")
_held: list[int] = []  # the locks last as long as the process


def metrics_folder_use(base: Path | None, *, deployment: str = "") -> Path | None:
    """Points prometheus_client at `base` or, with a name, at a folder of that deployment inside it; makes it.

    Call before prometheus_client is imported (settings do; a worker's command starts itself again with the
    variable set). Raises `RuntimeError` if that is too late.
    """
    if base is None:
        os.environ.pop(VARIABLE, None)
        return None
    folder = base / deployment if deployment else base
    if os.environ.get(VARIABLE) != str(folder) and "prometheus_client" in sys.modules:
        raise RuntimeError(f"{VARIABLE} cannot change once prometheus_client is imported")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[VARIABLE] = str(folder)
    return folder


def metrics_folder_of(base: Path, deployment: str, *, instance: str | None) -> Path:
    """One for each deployment: two of a kind on one machine are told apart by their instance."""
    return base / (f"{deployment}-{_NOT_IN_A_NAME.sub('_', instance)}" if instance else deployment)


def metrics_folder_sweep(folder: Path) -> bool:
    """Empties the folder of what an earlier run left. False, and nothing is touched, where others are using it."""
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    _held.append(lock)
    for path in folder.glob("*.db"):
        found = _OF_PROCESS.search(path.name)
        if found and int(found[1]) != os.getpid():
            path.unlink(missing_ok=True)
    return True
