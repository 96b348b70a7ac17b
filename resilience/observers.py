"""Who is told what a guard does. Observers are composed; each is guarded, so one that fails disturbs nobody."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from resilience.errors import told
from resilience.metrics import counter
from resilience.outcomes import Attempt, Attempted, Ended, Outcome, Task

log = structlog.get_logger(__name__)

OBSERVER_FAULTS = counter("observer_faults", "Calls of a guard's observer that raised.", ("name", "observer"))


class Observer:
    """Override what you want to hear of. Every `started` has its `ended`, every `pending` its counterpart."""

    def accepts(self, task: Task) -> None:
        """Once, when a guard is made. Raise `ValueError` if its labels are not what you need."""

    def pending(self, task: Task, change: int) -> None:
        """It begins (+1) or ends (−1) to wait for a place under the guard's limit."""

    def started(self, task: Task, attempt: Attempt) -> None:
        """An attempt begins; from the second on it is a retry."""

    def ended(self, task: Task, attempt: Attempt, attempted: Attempted[Any] | None) -> None:
        """An attempt ended; None: by something that is no `Exception`, which goes on."""

    def retrying(self, task: Task, attempted: Attempted[Any], seconds: float) -> None:
        """It failed and is tried again after that wait, unless a shutdown comes first."""

    def finished(self, task: Task, outcome: Outcome[Any]) -> None:
        """It is over, with all its attempts, or was rejected."""

    def interrupted(self, task: Task, error: BaseException) -> None:
        """`KeyboardInterrupt`, `SystemExit` or the like passes through."""


HOOKS = ("pending", "started", "ended", "retrying", "finished", "interrupted")


class Audience:
    """Several observers as one. What one of them raises is counted and logged, and the others hear all the same."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._hearers: dict[str, list[tuple[Observer, Callable[..., object]]]] = {
            hook: [(one, getattr(one, hook)) for one in observers if getattr(type(one), hook) is not _silent(hook)]
            for hook in HOOKS
        }

    def tell(self, hook: str, task: Task, *what: object) -> None:
        for observer, hear in self._hearers[hook]:
            try:
                hear(task, *what)
            except Exception as fault:
                complain(task.name, type(observer).__name__, fault)


def _silent(hook: str) -> object:
    return getattr(Observer, hook)


def complain(name: str, observer: str, fault: Exception) -> None:
    """What stands round the work failed, not the work itself."""
    try:
        OBSERVER_FAULTS.labels(name=name, observer=observer).inc()
        log.exception("guard_observer_failed", guard=name, observer=observer, error=told(fault), exc_info=fault)
    except Exception as second:
        sys.stderr.write(f"guard {name!r}: {observer} failed: {told(fault)}; nor could it be logged: {told(second)}\n")


class GuardLog(Observer):
    """Log lines. A panic is an error, and so is an incident with its traceback; an expected error is a warning, unless
    every failure is one too many."""

    def __init__(
        self, *, panic_event: str = "panic", failure_event: str = "", failure_level: int = logging.WARNING
    ) -> None:
        """`failure_event`: by default `<name>_failed`. `failure_level`: of a task that failed or timed out in the end;
        from `logging.ERROR` on its traceback is told too, and that is an incident."""
        self._panic_event = panic_event
        self._failure_event = failure_event
        self._failure_level = failure_level

    def retrying(self, task: Task, attempted: Attempted[Any], seconds: float) -> None:
        error = told(attempted.error) if attempted.error else ""
        log.info("guard_retries", error=error, guard=task.name, retry_in=round(seconds, 3), **_named(task.details))

    def finished(self, task: Task, outcome: Outcome[Any]) -> None:
        error = outcome.error
        if error is None:
            return
        said = {"error": told(error), "guard": task.name} | _named(task.details)
        if outcome.ended is Ended.PANIC:
            log.exception(self._panic_event, exc_info=error, **said)
        elif outcome.ended is Ended.REJECTED:
            log.info("guard_rejected", **said)
        else:
            event = self._failure_event or f"{task.name}_failed"
            trace = error if self._failure_level >= logging.ERROR else None
            log.log(self._failure_level, event, attempts=outcome.attempts, exc_info=trace, **said)


def _named(details: Mapping[str, Any]) -> dict[str, Any]:
    """Details that cannot clash with the line's own fields."""
    own = {"event", "error", "guard", "exc_info", "attempts", "retry_in"}
    return {f"{key}_" if key in own else str(key): value for key, value in details.items()}
