"""Metrics served by a part that goes on without them. `resilience.metrics` has the server itself."""

from __future__ import annotations

from collections.abc import Callable

from resilience.incidents import incident_report
from resilience.metrics import metrics_serve


def metrics_begin(name: str, *, host: str, port: int) -> Callable[[], None]:
    """Returns what stops them. An address that cannot be had is an incident, and that is all. Port 0: none."""
    if not port:
        return lambda: None
    try:
        return metrics_serve(host=host, port=port)
    except OSError as fault:
        incident_report(
            kind="metrics_not_served",
            summary=f"The metrics of “{name}” cannot be had at {host}, port {port}: {fault}",
            severity="warning",
            fingerprint=f"metrics_not_served:{name}:{host}:{port}",
        )
        return lambda: None
