"""What is reported: one occurrence of an incident, its fingerprint and its place in the code. Pure."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import traceback as tracebacks
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from resilience.redaction import redact, redact_text

PROJECT = Path(__file__).resolve().parent.parent
MAX_TRACEBACK = 20_000
MAX_SAMPLE = 20_000
MAX_SUMMARY = 2_000
_KIND_LENGTH = 120
_FINGERPRINT_LENGTH = 200


@dataclass(frozen=True)
class Report:
    """One occurrence. All texts are redacted and cut to what the table holds."""

    kind: str
    fingerprint: str
    severity: str
    summary: str
    sample: str  # JSON
    traceback: str
    at: datetime


def report_make(
    *,
    kind: str,
    summary: str,
    severity: str,
    fingerprint: str | None,
    error: BaseException | None,
    details: Mapping[str, Any],
    place: str,
    at: datetime,
) -> Report:
    """A report fit to be stored. Without a fingerprint it is folded by kind, type of error and place."""
    kind = redact_text(kind)[:_KIND_LENGTH] or "unnamed"
    if fingerprint is None:
        fingerprint = fingerprint_of(kind, error, place)
    return Report(
        kind=kind,
        fingerprint=_shortened(redact_text(fingerprint) or kind),
        severity=severity,
        summary=redact_text(summary)[:MAX_SUMMARY],
        sample=_sample(details, place),
        traceback=traceback_text(error),
        at=at,
    )


def fingerprint_of(kind: str, error: BaseException | None, place: str) -> str:
    """Kind, type of error and place in the code, by bars."""
    if error is None:
        return f"{kind}|{place}"
    return f"{kind}|{type(error).__qualname__}|{place_of(error.__traceback__) or place}"


def place_of(trace: TracebackType | None) -> str:
    """`path:function:line` of the innermost frame in our code; where there is none, of the innermost frame."""
    frames = tracebacks.extract_tb(trace)
    ours = [frame for frame in frames if _is_ours(frame.filename)]
    if not frames:
        return ""
    frame = (ours or frames)[-1]
    return f"{short_path(frame.filename)}:{frame.name}:{frame.lineno}"


def short_path(filename: str) -> str:
    """The path inside the project, or the file's last two parts."""
    if _is_ours(filename):
        return str(Path(filename).relative_to(PROJECT))
    return "/".join(Path(filename).parts[-2:])


def traceback_text(error: BaseException | None) -> str:
    """The traceback with its causes, redacted; the end is kept where it is too long."""
    if error is None:
        return ""
    try:
        text = "".join(tracebacks.format_exception(error))
    except Exception as fault:  # an exception whose own __str__ raises
        text = f"{type(error).__qualname__} (its traceback cannot be shown: {type(fault).__qualname__})"
    return redact_text(text)[-MAX_TRACEBACK:]


def _is_ours(filename: str) -> bool:
    return filename.startswith(f"{PROJECT}{os.sep}") and f"{os.sep}site-packages{os.sep}" not in filename


def _shortened(text: str) -> str:
    if len(text) <= _FINGERPRINT_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: _FINGERPRINT_LENGTH - 17]}|{digest}"


def _sample(details: Mapping[str, Any], place: str) -> str:
    where = {"place": place, "host": socket.gethostname(), "pid": os.getpid()}
    try:
        sample = json.dumps({**where, **_plain(details)}, allow_nan=False)
    except Exception as fault:  # a detail that cannot be shown must not hide the incident
        sample = json.dumps({**where, "details": f"cannot be shown: {type(fault).__qualname__}"})
    if len(sample) > MAX_SAMPLE:
        sample = json.dumps({**where, "details": sample[: MAX_SAMPLE // 2]})
    return sample


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's own types only. Text again after `str`, so that secrets inside objects are seen."""
    as_json = json.loads(json.dumps({str(key): value for key, value in details.items()}, default=str, skipkeys=True))
    return {redact_text(str(key)): value for key, value in redact(_finite(as_json)).items()}


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity; PostgreSQL refuses them."""
    if isinstance(value, float) and not (value == value and abs(value) != float("inf")):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
