"""Prometheus metrics, in several processes too: makers with our prefix, and a server for the workers' main process.

With `PROMETHEUS_MULTIPROC_DIR` set, prometheus_client keeps every process's numbers in files of that folder; one
folder for each deployment (`resilience.metrics_folder`). The web serves `/metrics` through django-prometheus.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from socketserver import TCPServer
from typing import Any, Literal
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.multiprocess import mark_process_dead as _mark_process_dead
from prometheus_client.registry import REGISTRY, Collector

PREFIX = "watchkeeper_"
# From a cycle on an idle table to one that waits for a slow mail server.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def counter(
    name: str,
    what: str,
    labels: Sequence[str] = (),
    *,
    prefix: str = PREFIX,
    registry: CollectorRegistry = REGISTRY,
) -> Counter:
    """`watchkeeper_<name>_total`. Give label values by name: `counter.labels(kind=…)`, never by position."""
    return Counter(prefix + name, what, tuple(labels), registry=registry)


def histogram(
    name: str,
    what: str,
    labels: Sequence[str] = (),
    buckets: Sequence[float] = SECONDS,
    *,
    prefix: str = PREFIX,
    registry: CollectorRegistry = REGISTRY,
) -> Histogram:
    """`watchkeeper_<name>`, by default in seconds."""
    return Histogram(prefix + name, what, tuple(labels), buckets=tuple(buckets), registry=registry)


GaugeMode = Literal["livesum", "max", "livemostrecent"]


def gauge(
    name: str,
    what: str,
    labels: Sequence[str] = (),
    *,
    prefix: str = PREFIX,
    registry: CollectorRegistry = REGISTRY,
    mode: GaugeMode = "livesum",
) -> Gauge:
    """`watchkeeper_<name>`: by default the sum over the processes that live."""
    return Gauge(prefix + name, what, tuple(labels), registry=registry, multiprocess_mode=mode)


INCIDENTS = counter("incidents", "Incidents reported, repeats included.", ("kind", "severity"))
INCIDENT_POSTS = counter("incident_posts", "Messages to Slack about incidents.", ("outcome",))


class _OfAllProcesses(Collector):
    """Before each look the gauges of processes that are gone are taken out, also where nobody reported the death."""

    def collect(self) -> Iterable[Metric]:
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        for pid in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*_*.db")}:
            if not _lives(pid):
                mark_process_dead(pid)
        collector = MultiProcessCollector(None, path=str(folder))  # type: ignore[no-untyped-call]
        return collector.collect()  # type: ignore[no-untyped-call, no-any-return]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it does, and is another user's
        return True
    return True


def metrics_registry() -> CollectorRegistry:
    """The numbers of all processes of this deployment, or of this process where there is no shared folder."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    registry = CollectorRegistry()
    registry.register(_OfAllProcesses())
    return registry


def metrics_serve(*, port: int, host: str = "127.0.0.1") -> Callable[[], None]:
    """Serves the numbers over HTTP in a thread, to anybody who reaches the port; returns what stops it.

    Raises `OSError` where the port is in use or the host is no address of this machine. Call it in a worker's main
    process after its children are started.
    """
    server = _Server(host, port)
    server.set_app(make_wsgi_app(metrics_registry()))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(5)

    return stop


class _Server(ThreadingWSGIServer):
    """The standard library asks DNS for the name of the address that it binds: a start would wait while DNS is away.

    It still waits where the host is a name that only DNS knows: an IP address, or one of /etc/hosts, does not.
    """

    def __init__(self, host: str, port: int) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__((str(found[0][4][0]), port), _Silent)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return


def mark_process_dead(pid: int) -> None:
    """Takes the live gauges of an ended process out. Its counters stay. Harmless without a shared folder."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        _mark_process_dead(pid)  # type: ignore[no-untyped-call]
