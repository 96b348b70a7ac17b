"""The guard: one failing item never takes its neighbours down, and never fails in silence.

It recovers every `Exception` and tells the expected ones (the caller names them) from programming errors, which
are panics. `KeyboardInterrupt` and `SystemExit`, among them django-q2's `TimeoutException`, are counted and pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import structlog

from resilience.metrics import GUARDED

log = structlog.get_logger(__name__)
T = TypeVar("T")

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Ended(StrEnum):
    """How guarded work ended."""

    SUCCESS = "success"
    FAILURE = "failure"  # an expected error
    PANIC = "panic"  # a programming error
    INTERRUPTED = "interrupted"  # told to stop; raised on


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The value of work that succeeded, or the error that was recovered."""

    ended: Ended
    value: T | None = None
    error: Exception | None = None

    @property
    def succeeded(self) -> bool:
        return self.ended is Ended.SUCCESS


def run_guarded(
    work: Callable[[], T],
    *,
    name: str,
    expected: tuple[type[Exception], ...] = (),
    panic_event: str = "panic",
    failure_event: str = "",
    details: Mapping[str, Any] = _NOTHING,
    on_error: Callable[[Exception], object] | None = None,
) -> Outcome[T]:
    """Runs `work` and returns how it ended.

    A panic is logged as an error under `panic_event`, and so is an incident with its traceback; an expected error
    is a warning under `failure_event` (default: `<name>_failed`). `on_error`, guarded too, gets either.
    """
    try:
        value = work()
    except expected as error:
        GUARDED.labels(name=name, outcome=Ended.FAILURE).inc()
        log.warning(failure_event or f"{name}_failed", error=_told(error), guard=name, **_named(details))
        outcome: Outcome[T] = Outcome(Ended.FAILURE, error=error)
    except Exception as error:
        GUARDED.labels(name=name, outcome=Ended.PANIC).inc()
        log.exception(panic_event, error=_told(error), guard=name, exc_info=error, **_named(details))
        outcome = Outcome(Ended.PANIC, error=error)
    except BaseException:
        GUARDED.labels(name=name, outcome=Ended.INTERRUPTED).inc()
        raise
    else:
        GUARDED.labels(name=name, outcome=Ended.SUCCESS).inc()
        return Outcome(Ended.SUCCESS, value=value)
    if on_error is not None and outcome.error is not None:
        _tell(on_error, outcome.error, name)
    return outcome


def _tell(on_error: Callable[[Exception], object], error: Exception, name: str) -> None:
    try:
        on_error(error)
    except Exception as second:
        GUARDED.labels(name=f"{name}.on_error", outcome=Ended.PANIC).inc()
        log.exception("panic_in_error_handler", error=_told(second), guard=name, exc_info=second)


def _told(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except Exception as fault:  # an exception whose own __str__ raises
        return f"{type(error).__name__} (cannot be shown: {type(fault).__name__})"


def _named(details: Mapping[str, Any]) -> dict[str, Any]:
    """Details that cannot clash with the line's own fields."""
    own = {"event", "error", "guard", "exc_info"}
    return {f"{key}_" if key in own else str(key): value for key, value in details.items()}
