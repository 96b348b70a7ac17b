"""Prometheus metrics, in several processes too: makers with our prefix, and a server for the workers' main process.

With `PROMETHEUS_MULTIPROC_DIR` set, prometheus_client keeps every process's numbers in files of that folder; one
folder for each deployment (`resilience.metrics_folder`). The web serves `/metrics` through django-prometheus.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.multiprocess import mark_process_dead as _mark_process_dead
from prometheus_client.registry import REGISTRY

PREFIX = "watchkeeper_"
# From a cycle on an idle table to one that waits for a slow mail server.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def counter(name: str, what: str, labels: Sequence[str] = ()) -> Counter:
    """`watchkeeper_<name>_total`. Give label values by name: `counter.labels(kind=…)`, never by position."""
    return Counter(PREFIX + name, what, tuple(labels))


def histogram(name: str, what: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS) -> Histogram:
    """`watchkeeper_<name>`, by default in seconds."""
    return Histogram(PREFIX + name, what, tuple(labels), buckets=tuple(buckets))


def gauge(name: str, what: str, labels: Sequence[str] = ()) -> Gauge:
    """`watchkeeper_<name>`: the sum over the processes that live."""
    return Gauge(PREFIX + name, what, tuple(labels), multiprocess_mode="livesum")


INCIDENTS = counter("incidents", "Incidents reported, repeats included.", ("kind", "severity"))
INCIDENT_POSTS = counter("incident_posts", "Messages to Slack about incidents.", ("outcome",))
GUARDED = counter("guarded", "Pieces of work under guard, by how they ended.", ("name", "outcome"))


def metrics_registry() -> CollectorRegistry:
    """The numbers of all processes of this deployment, or of this process where there is no shared folder."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def metrics_serve(*, port: int, host: str = "127.0.0.1") -> Callable[[], None]:
    """Serves the numbers over HTTP in a thread; returns what stops it. Raises `OSError` where the port is in use.

    Call it in a worker's main process after its children are started.
    """
    server, thread = start_http_server(port, host, metrics_registry())

    def stop() -> None:
        server.shutdown()
        if isinstance(server, WSGIServer):
            server.server_close()
        thread.join(5)

    return stop


def mark_process_dead(pid: int) -> None:
    """Takes the live gauges of an ended process out. Its counters stay. Harmless without a shared folder."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        _mark_process_dead(pid)  # type: ignore[no-untyped-call]
