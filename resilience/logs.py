"""Structured logs: one line, one event name, for each thing that happens. JSON unless a person is looking.

Ours go through structlog, those of libraries through the standard library; both leave by one formatter, with
ISO times in UTC, context variables, and without secrets.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from resilience.redaction import redact

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.UnicodeDecoder(),
]


def configure_logging(*, level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Sets structlog and the standard library up. `log_format`: auto, console or json; to standard error."""
    stream = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(_standard_library(level=level, console=console, stream=stream))


def _standard_library(*, level: str, console: bool, stream: TextIO) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "one": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*_SHARED, structlog.stdlib.ExtraAdder()],
                "processors": _last_steps(console=console, colours=console and stream.isatty()),
            }
        },
        "handlers": {
            "stream": {"class": "logging.StreamHandler", "stream": stream, "formatter": "one"},
            "incidents": {"class": "resilience.log_incidents.IncidentHandler"},
        },
        "root": {"level": level, "handlers": ["stream", "incidents"]},
        "loggers": {
            # slack-sdk writes the webhook's address at DEBUG.
            "slack_sdk": {"level": "WARNING"},
            # django-q2 gives its logger a handler of its own, past which nothing becomes an incident.
            "django-q": {"level": "INFO", "handlers": [], "propagate": True},
            "django.server": {"level": "WARNING"},
            "django.db.backends": {"level": "INFO"},
        },
    }


def _last_steps(*, console: bool, colours: bool) -> list[Processor]:
    steps: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _drop_request]
    if console:
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)
        return [*steps, structlog.processors.format_exc_info, redact_event, renderer]
    json = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    return [*steps, structlog.processors.format_exc_info, redact_event, json]


def redact_event(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Takes secrets out of a line, its traceback included."""
    redacted: dict[str, Any] = redact(event)
    return redacted


def _drop_request(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Django hands whole request objects to its log lines; their path is in the line already."""
    event.pop("request", None)
    return event
