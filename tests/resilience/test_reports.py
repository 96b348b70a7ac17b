from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from resilience.reports import Report, fingerprint_of, report_make

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make(**changes: Any) -> Report:
    given: dict[str, Any] = {
        "kind": "query_failed",
        "summary": "No answer",
        "severity": "error",
        "fingerprint": None,
        "error": None,
        "details": {},
        "place": "alerting/x.py:load:7",
        "at": NOON,
    }
    return report_make(**(given | changes))


def raised(text: str = "broken") -> Exception:
    try:
        int(text)
    except ValueError as error:
        return error
    raise AssertionError


def test_the_fingerprint_is_kind_type_and_place_in_our_code() -> None:
    error = raised()

    fingerprint = fingerprint_of("panic", error, "elsewhere:1")

    assert fingerprint.startswith("panic|ValueError|tests/resilience/test_reports.py:raised:")


def test_the_text_of_an_error_does_not_change_its_fingerprint() -> None:
    assert make(error=raised("row 1")).fingerprint == make(error=raised("row 2")).fingerprint


def test_a_long_fingerprint_is_shortened_and_stays_distinct() -> None:
    first, second = make(fingerprint="x" * 300 + "1"), make(fingerprint="x" * 300 + "2")

    assert len(first.fingerprint) <= 200
    assert first.fingerprint != second.fingerprint


def test_a_traceback_is_kept_without_secrets() -> None:
    report = make(error=raised("postgresql://wk:hunter2@db/x"))

    assert "ValueError" in report.traceback
    assert "hunter2" not in report.traceback


def test_details_that_json_cannot_hold_become_text() -> None:
    report = make(details={"at": NOON, "speed": float("nan"), "name": "A\x00B\ud800", "password": "hunter2"})

    sample = json.loads(report.sample)
    assert sample["at"].startswith("2026-01-01")
    assert sample["speed"] == "nan"
    assert sample["password"] == "[redacted]"
    assert "\x00" not in sample["name"]


def test_a_detail_that_cannot_be_shown_does_not_hide_the_incident() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError

    assert "cannot be shown" in make(details={"x": Hostile()}).sample


def test_an_error_that_cannot_be_shown_does_not_hide_the_incident() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "Hostile" in make(error=Hostile()).traceback
