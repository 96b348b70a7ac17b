"""The names, and the numbers of several processes, some of them killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from resilience.breakers.metrics import BreakerMetrics
from resilience.guard_metrics import GuardMetrics
from resilience.reports import PROJECT

NAMES = {
    "in_flight": "gauge",
    "success": "counter",
    "failures": "counter",
    "errors": "counter",
    "panics": "counter",
    "timeouts": "counter",
    "retries": "counter",
    "durations_seconds": "histogram",
    "pending": "gauge",
    "rejected": "counter",
    "overruns": "counter",
    "breaker_state": "gauge",
    "breaker_transitions": "counter",
    "last_success_timestamp_seconds": "gauge",
}

_KILLED = """
import os, signal, sys, time
from pathlib import Path
from resilience.metrics_folder import metrics_folder_use
metrics_folder_use(Path(sys.argv[1]), deployment="realtime")
from prometheus_client import generate_latest
from resilience.guard import Guard
from resilience.guard_metrics import GUARD_METRICS
from resilience.metrics import metrics_registry
guard = Guard("item", observers=(GUARD_METRICS,))
def child(work):
    pid = os.fork()
    if pid == 0:
        guard.run(work)
        os._exit(0)
    return pid
def killed_in(attempt):
    os.kill(os.getpid(), signal.SIGKILL)
read, write = os.pipe()
def alive_in(attempt):
    os.write(write, b"!")
    time.sleep(60)
for work in (lambda attempt: None, killed_in, killed_in):
    os.waitpid(child(work), 0)
alive = child(alive_in)
os.read(read, 1)
print(generate_latest(metrics_registry()).decode())
os.kill(alive, signal.SIGKILL)
os.waitpid(alive, 0)
print("AFTER")
print(generate_latest(metrics_registry()).decode())
"""


def test_the_names_are_those_that_are_promised() -> None:
    registry = CollectorRegistry()
    GuardMetrics(prefix="acme_", registry=registry)
    BreakerMetrics(prefix="acme_", registry=registry)

    kinds = {family.name: family.type for family in registry.collect()}

    assert {f"acme_{name}": kind for name, kind in NAMES.items()}.items() <= kinds.items()


def test_a_gauge_is_right_after_kills_and_counters_stay(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    before, _, after = done.stdout.partition("AFTER")
    assert 'watchkeeper_in_flight{name="item"} 1.0' in before, done.stderr
    assert 'watchkeeper_in_flight{name="item"} 0.0' in after
    assert 'watchkeeper_success_total{name="item"} 1.0' in after
    assert 'watchkeeper_last_success_timestamp_seconds{name="item"} 1' in after
