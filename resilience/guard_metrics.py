"""What Prometheus hears of guarded work, under the names that go-sentinel's users know."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import REGISTRY

from resilience.metrics import PREFIX, SECONDS, counter, gauge, histogram
from resilience.observers import Observer
from resilience.outcomes import Attempt, Attempted, Ended, Outcome, Rejected, Task

COUNTERS = {
    "success": "Tasks that succeeded.",
    "failures": "Tasks that failed, counted once however often they were tried.",
    "errors": "Attempts that failed.",
    "panics": "Attempts that ended by a programming error.",
    "timeouts": "Attempts that timed out.",
    "retries": "Attempts after the first one of their task.",
    "overruns": "Attempts that came back after their deadline.",
    "interruptions": "Tasks through which KeyboardInterrupt, SystemExit or the like passed.",
}


@dataclass(frozen=True, slots=True)
class _Series:
    """The time series of one guard."""

    counters: dict[str, Counter]
    in_flight: Gauge
    pending: Gauge
    durations: Histogram
    last_success: Gauge


class GuardMetrics(Observer):
    """Make one for each prefix and registry, and give it to several guards.

    `labels` are those besides `name`; each guard must give a value for each of them. They are passed by name, never
    by position. Works with `PROMETHEUS_MULTIPROC_DIR`: gauges are the sum over the processes that live.
    """

    def __init__(
        self,
        *,
        prefix: str = PREFIX,
        labels: Sequence[str] = (),
        registry: CollectorRegistry = REGISTRY,
        buckets: Sequence[float] = SECONDS,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        names = self.labels = ("name", *sorted(labels))
        where: dict[str, Any] = {"prefix": prefix, "registry": registry}
        self._counters = {name: counter(name, what, names, **where) for name, what in COUNTERS.items()}
        self._rejected = counter("rejected", "Tasks that were not begun, by why.", (*names, "why"), **where)
        self._in_flight = gauge("in_flight", "Attempts that run now.", names, **where)
        self._pending = gauge("pending", "Tasks that wait for a place under their limit.", names, **where)
        self._durations = histogram("durations_seconds", "How long attempts took.", names, buckets, **where)
        self._last_success = gauge(
            "last_success_timestamp_seconds", "When a task last succeeded.", names, **where, mode="max"
        )
        self._wall_clock = wall_clock
        self._known: dict[tuple[str, ...], _Series] = {}

    def accepts(self, task: Task) -> None:
        if set(task.labels) | {"name"} != set(self.labels) or "name" in task.labels:
            wanted = ", ".join(self.labels[1:]) or "none"
            raise ValueError(f"guard {task.name!r} has the labels {sorted(task.labels)}; its metrics want: {wanted}")
        self._series(task)  # so that all are there, with 0, before anything happens

    def pending(self, task: Task, change: int) -> None:
        self._series(task).pending.inc(change)

    def started(self, task: Task, attempt: Attempt) -> None:
        series = self._series(task)
        series.in_flight.inc()
        if attempt.number > 1:
            series.counters["retries"].inc()

    def ended(self, task: Task, attempt: Attempt, attempted: Attempted[Any] | None) -> None:
        series = self._series(task)
        series.in_flight.dec()
        if attempted is None:
            return
        series.durations.observe(attempted.seconds)
        if attempted.overran:
            series.counters["overruns"].inc()
        if attempted.ended is Ended.SUCCESS:
            return
        series.counters["errors"].inc()
        if attempted.ended is Ended.PANIC:
            series.counters["panics"].inc()
        elif attempted.ended is Ended.TIMEOUT:
            series.counters["timeouts"].inc()

    def finished(self, task: Task, outcome: Outcome[Any]) -> None:
        series = self._series(task)
        if outcome.ended is Ended.SUCCESS:
            series.counters["success"].inc()
            series.last_success.set(self._wall_clock())
        elif outcome.ended is Ended.REJECTED:
            why = outcome.error.refusal if isinstance(outcome.error, Rejected) else Rejected.refusal
            self._rejected.labels(**self._values(task), why=why).inc()
        else:
            series.counters["failures"].inc()

    def interrupted(self, task: Task, error: BaseException) -> None:
        self._series(task).counters["interruptions"].inc()

    def _values(self, task: Task) -> dict[str, str]:
        return {"name": task.name, **task.labels}

    def _series(self, task: Task) -> _Series:
        key = (task.name, *(task.labels[name] for name in self.labels[1:]))
        series = self._known.get(key)
        if series is None:
            values = self._values(task)
            series = self._known[key] = _Series(
                counters={name: metric.labels(**values) for name, metric in self._counters.items()},
                in_flight=self._in_flight.labels(**values),
                pending=self._pending.labels(**values),
                durations=self._durations.labels(**values),
                last_success=self._last_success.labels(**values),
            )
        return series


GUARD_METRICS = GuardMetrics()
