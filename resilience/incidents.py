"""Incidents: what operations must know. `incident_report` is the one way in; it never raises and never waits long."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import structlog
from django.db.models import Value
from django.utils import timezone

from resilience.metrics import INCIDENTS
from resilience.recorder import Entry, Recorder, reset_after_fork
from resilience.reports import report_make, short_path

log = structlog.get_logger(__name__)

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_LEVELS = {"warning": logging.WARNING, "error": logging.ERROR, "critical": logging.CRITICAL}


def incident_report(
    *,
    kind: str,
    summary: str,
    severity: str = "error",
    fingerprint: str | None = None,
    error: BaseException | None = None,
    details: Mapping[str, Any] = _NOTHING,
) -> None:
    """Tells operations of something: a log line, a metric, a row that no rollback takes back, and Slack.

    `kind` is the event's name in the log, `severity` warning, error or critical. Repeats of one `fingerprint`
    fold into one open incident; by default it is the kind, the error's type and the place in the code.
    """
    place = _place_of_caller()
    try:
        level = _LEVELS.get(severity, logging.ERROR)
        log.log(level, kind, summary=summary, details=dict(details), exc_info=error, incident=True)
    except Exception as fault:
        _last_words(kind, fault)
    incident_record(
        kind=kind,
        summary=summary,
        severity=severity,
        fingerprint=fingerprint,
        error=error,
        details=details,
        place=place,
    )


def incident_record(
    *,
    kind: str,
    summary: str,
    severity: str,
    fingerprint: str | None,
    error: BaseException | None,
    details: Mapping[str, Any],
    place: str,
) -> None:
    """As `incident_report`, without the log line: for what comes from a log line. Never raises."""
    try:
        severity = severity if severity in _LEVELS else "error"
        report = report_make(
            kind=kind,
            summary=summary,
            severity=severity,
            fingerprint=fingerprint,
            error=error,
            details=details,
            place=place,
            at=timezone.now(),
        )
        INCIDENTS.labels(kind=report.kind, severity=severity).inc()
        recorder.submit(report)
    except Exception as fault:
        _last_words(kind, fault)


def incident_resolve(*, incident_id: int, by: str, now: datetime) -> bool:
    """Marks an open incident resolved; Slack is told. False if it was not open."""
    from resilience.models import Incident

    return bool(_resolve(Incident.objects.open().filter(pk=incident_id), by=by, now=now))


def incident_clear(*, fingerprint: str, by: str, now: datetime) -> bool:
    """The fault is over, as the part named `by` has seen. False if no incident was open."""
    from resilience.models import Incident

    return bool(_resolve(Incident.objects.open().filter(fingerprint=fingerprint), by=by, now=now))


def _resolve(incidents: Any, *, by: str, now: datetime) -> int:
    from resilience.models import Incident

    changed: int = incidents.update(
        state=Incident.State.RESOLVED,
        resolved_at=now,
        resolved_by=by[:254],
        has_news=Value(True),
        next_post_at=now,
    )
    return changed


def flush(timeout: float = 5.0) -> bool:
    """Waits until all reports of this process are written and this process's poster rests."""
    deadline = time.monotonic() + timeout
    written = recorder.flush(timeout)
    if _poster_thread is None:  # nothing was reported
        return written
    return bool(_poster_thread.drain(max(0.0, deadline - time.monotonic()))) and written


def _place_of_caller() -> str:
    frame = sys._getframe(2)  # noqa: SLF001 - what logging does too; `inspect.stack` costs milliseconds
    return f"{short_path(frame.f_code.co_filename)}:{frame.f_code.co_name}:{frame.f_lineno}"


def _last_words(kind: str, fault: Exception) -> None:
    """Reporting itself failed. Standard error is what is left."""
    try:
        sys.stderr.write(f"incident {kind!r} could not be reported: {type(fault).__name__}: {fault}\n")
    except OSError:
        return


def _poster() -> Any:
    """The poster's thread. Made at first use: it needs the models, which are not loaded when logging begins."""
    global _poster_thread
    if _poster_thread is None:
        from resilience.poster import PosterThread

        _poster_thread = PosterThread()
        os.register_at_fork(after_in_child=_poster_thread.after_fork)
    return _poster_thread


class _PosterOfThisProcess:
    """Hands on to the poster's thread."""

    def wake(self) -> None:
        _poster().wake()

    def tell(self, entries: Sequence[Entry], fault: str) -> None:
        _poster().tell(entries, fault)


_poster_thread: Any = None
recorder = Recorder(_PosterOfThisProcess())
reset_after_fork(recorder)
