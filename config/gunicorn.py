"""Gunicorn's settings: `gunicorn --config config/gunicorn.py config.wsgi`. The command line may override them.

The main process reads our environment first: a wrong setting ends it with its name, instead of worker after worker.
It keeps the folder of metrics clean: what an earlier run left goes at the start, a dead worker's gauges at its death.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from config.environment import EnvironmentFault, read_environment
from resilience.metrics_folder import metrics_folder_sweep, metrics_folder_use

DEPLOYMENT = "web"

try:
    _environment = read_environment()
except EnvironmentFault as fault:
    raise SystemExit(str(fault)) from None


def _metrics_folder(base: Path | None) -> Path | None:
    """The web's own in the folder given, as workers have theirs; also when this file is read again on SIGHUP."""
    if base is None or base.name == DEPLOYMENT:
        return metrics_folder_use(base)
    return metrics_folder_use(base, deployment=DEPLOYMENT)


_folder = _metrics_folder(_environment.prometheus_multiproc_dir)

bind = f"127.0.0.1:{_environment.port}"
workers = 2
threads = 4


def on_starting(server: Any) -> None:
    if _folder is not None:
        metrics_folder_sweep(_folder)  # the lock that it takes passes to the workers and ends with the last of them


def child_exit(server: Any, worker: Any) -> None:
    from resilience.metrics import mark_process_dead  # prometheus_client looks for its folder when it is imported

    mark_process_dead(worker.pid)
