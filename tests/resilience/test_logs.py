from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from django.conf import settings

from resilience import incidents
from resilience.logs import configure_logging
from resilience.reports import Report


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    kept = logging.getLogger().handlers[:]
    configure_logging(level="INFO", log_format="json", stream=stream)
    yield stream
    configure_logging(level=settings.LOG_LEVEL, log_format=settings.LOG_FORMAT)
    logging.getLogger().handlers[:] = kept


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    made: list[Report] = []
    monkeypatch.setattr(incidents.recorder, "submit", made.append)
    return made


def connect(address: str) -> None:
    raise ValueError(address)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_event_level_and_utc_time(stream: io.StringIO) -> None:
    structlog.get_logger("wk.test").info("send_cycle_completed", sent=3)

    (line,) = lines(stream)
    assert line["event"] == "send_cycle_completed"
    assert (line["level"], line["logger"], line["sent"]) == ("info", "wk.test", 3)
    assert str(line["timestamp"]).endswith("Z")


def test_libraries_lines_leave_by_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("somebody.else").warning("took %s s", 5, extra={"host": "db"})

    (line,) = lines(stream)
    assert (line["event"], line["host"]) == ("took 5 s", "db")


def test_secrets_do_not_reach_the_log(stream: io.StringIO, reports: list[Report]) -> None:
    try:
        connect("postgresql://wk:hush@db/x")
    except ValueError:
        structlog.get_logger("wk.test").exception("connect_failed", password="hush")

    assert "hush" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def test_an_error_line_of_ours_becomes_an_incident_by_its_event(stream: io.StringIO, reports: list[Report]) -> None:
    structlog.get_logger("wk.test").error("failed_query_pending_notifications", error="timeout", shard=4)

    (report,) = reports
    assert report.kind == "failed_query_pending_notifications"
    assert report.summary == "timeout"
    assert json.loads(report.sample)["shard"] == 4


def test_a_librarys_exception_becomes_an_incident_with_traceback(stream: io.StringIO, reports: list[Report]) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("django-q").exception("task failed")

    (report,) = reports
    assert report.kind == "django-q"
    assert report.fingerprint.startswith("django-q|ZeroDivisionError|tests/resilience/test_logs.py")
    assert "ZeroDivisionError" in report.traceback


def test_warnings_are_no_incidents(stream: io.StringIO, reports: list[Report]) -> None:
    structlog.get_logger("wk.test").warning("slow")

    assert reports == []


@pytest.mark.parametrize("carrier", ["resilience.poster", "resilience.recorder", "slack_sdk.web.base_client"])
def test_the_posters_own_errors_do_not_loop(carrier: str, stream: io.StringIO, reports: list[Report]) -> None:
    logging.getLogger(carrier).error("no luck")

    assert reports == []
    assert len(lines(stream)) == 1


def test_a_reported_incident_is_one_line_and_one_report(stream: io.StringIO, reports: list[Report]) -> None:
    incidents.incident_report(kind="feed_silent", summary="No bytes for 60 s", details={"feed": "dk"})

    assert [line["event"] for line in lines(stream)] == ["feed_silent"]
    assert [report.kind for report in reports] == ["feed_silent"]


def test_reporting_never_raises(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(report: Report) -> None:
        raise RuntimeError("recorder broken")

    monkeypatch.setattr(incidents.recorder, "submit", fail)

    incidents.incident_report(kind="x", summary="y")
