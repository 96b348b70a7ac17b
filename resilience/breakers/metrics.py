"""What Prometheus hears of the breakers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.registry import REGISTRY

from resilience.breakers.models import BreakerState
from resilience.metrics import PREFIX, counter, gauge

_NUMBERS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class BreakerMetrics:
    """`breaker_state` (0 closed, 1 half-open, 2 open), `breaker_transitions_total`, `breaker_faults_total`.

    Make one for each prefix and registry.
    """

    def __init__(self, *, prefix: str = PREFIX, registry: CollectorRegistry = REGISTRY) -> None:
        # Each process knows the state as it last saw it; the latest of those that live is told.
        self._state = gauge(
            "breaker_state",
            "State of a circuit breaker: 0 closed, 1 half-open, 2 open.",
            ("name",),
            prefix=prefix,
            registry=registry,
            mode="livemostrecent",
        )
        self._transitions = counter(
            "breaker_transitions",
            "Changes of a circuit breaker, by the state it came to; counted where it was changed.",
            ("name", "state"),
            prefix=prefix,
            registry=registry,
        )
        self._faults = counter(
            "breaker_faults",
            "Times that a circuit breaker failed open: the database could not be asked.",
            ("name", "operation"),
            prefix=prefix,
            registry=registry,
        )

    def state(self, name: str, state: BreakerState) -> None:
        """As it was seen just now."""
        self._state.labels(name=name).set(_NUMBERS[state])

    def changed(self, name: str, state: BreakerState) -> None:
        """This process changed it."""
        self._transitions.labels(name=name, state=state.value).inc()
        self.state(name, state)

    def fault(self, name: str, operation: str) -> None:
        """It failed open, or who was to be told of a change raised (`announce`)."""
        self._faults.labels(name=name, operation=operation).inc()


BREAKER_METRICS = BreakerMetrics()
