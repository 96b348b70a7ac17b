"""Every log line of ERROR and above becomes an incident: ours, Django's, django-q's."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from resilience.incidents import incident_record
from resilience.reports import fingerprint_of, short_path

# Those who carry incidents away: their errors would come back to them for ever.
_CARRIERS = ("resilience.incidents", "resilience.recorder", "resilience.poster", "resilience.slack")
_CARRIER_FAMILIES = ("slack_sdk", "sentry_sdk", "urllib3")
_NOT_DETAILS = {"event", "exc_info", "level", "logger", "timestamp", "stack_info", "_record", "_from_structlog"}


class IncidentHandler(logging.Handler):
    """Reports a record by its event's name; never raises, never logs."""

    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.addFilter(_is_news)

    def createLock(self) -> None:
        """None: the recorder has its own, and one slow report must not hold up other threads' log lines."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._report(record)
        except Exception:
            self.handleError(record)

    def _report(self, record: logging.LogRecord) -> None:
        error = _error_of(record)
        place = f"{short_path(record.pathname)}:{record.funcName}:{record.lineno}"
        event = record.msg if isinstance(record.msg, dict) else None
        kind = str(event.get("event", record.name)) if event is not None else record.name
        incident_record(
            kind=kind,
            summary=_summary(event, record, error),
            severity="critical" if record.levelno >= logging.CRITICAL else "error",
            fingerprint=fingerprint_of(kind, error, place),
            error=error,
            details={"logger": record.name} | _details(event),
            place=place,
        )


def _is_news(record: logging.LogRecord) -> bool:
    if record.name in _CARRIERS or record.name.partition(".")[0] in _CARRIER_FAMILIES:
        return False
    # Django logs every answer of 5xx; a 503 of /readyz is an answer, not a fault of ours.
    return not (record.name == "django.request" and getattr(record, "status_code", 0) == 503)


def _error_of(record: logging.LogRecord) -> BaseException | None:
    found: Any = record.exc_info
    if isinstance(record.msg, dict):
        found = record.msg.get("exc_info") or found
    if found is True:
        found = sys.exc_info()
    if isinstance(found, tuple):
        found = found[1]
    return found if isinstance(found, BaseException) else None


def _summary(event: Mapping[str, Any] | None, record: logging.LogRecord, error: BaseException | None) -> str:
    if event is None:
        return record.getMessage()
    told = event.get("summary") or event.get("error")
    if told is None and error is not None:
        told = f"{type(error).__name__}: {error}"
    return str(told if told is not None else event.get("event", ""))


def _details(event: Mapping[str, Any] | None) -> dict[str, Any]:
    return {str(key): value for key, value in (event or {}).items() if key not in _NOT_DETAILS}
