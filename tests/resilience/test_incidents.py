"""On a real PostgreSQL and a real HTTP server that answers as Slack does."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from resilience import incidents, recorder
from resilience.incidents import flush, incident_clear, incident_report, incident_resolve
from resilience.models import Incident
from tests.slack_server import SlackServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def database_down(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The recorder's connections go to a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", str(port))
    monkeypatch.setattr(recorder, "DOWN_SECONDS", 0.2)
    return monkeypatch


def report(**changes: Any) -> None:
    given: dict[str, Any] = {"kind": "template_failed", "summary": "No filter 'x'", "fingerprint": "template_failed"}
    incident_report(**(given | changes))


def test_an_incident_survives_the_rollback_of_its_callers_transaction() -> None:
    with transaction.atomic():
        report()
        transaction.set_rollback(True)

    assert Incident.objects.get().kind == "template_failed"


def test_an_incident_is_reported_out_of_a_transaction_that_is_broken() -> None:
    def work() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            try:
                cursor.execute("SELECT * FROM no_such_table")
            except ProgrammingError as error:
                report(error=error)
                raise

    with pytest.raises(ProgrammingError):
        work()

    assert "no_such_table" in Incident.objects.get().traceback


def test_the_row_is_there_when_the_report_returns() -> None:
    report(severity="critical", details={"mmsi": 219000001})

    incident = Incident.objects.get()
    assert (incident.severity, incident.count, incident.state) == ("critical", 1, "open")
    assert incident.sample["mmsi"] == 219000001
    assert incident.sample["place"].startswith("tests/resilience/test_incidents.py:report:")


def test_ten_thousand_errors_fold_into_one_row_and_one_post(slack_server: SlackServer, settings: Settings) -> None:
    settings.SLACK_WEBHOOK_URL = slack_server.url
    started = time.monotonic()

    for number in range(10_000):
        incidents.incident_record(
            kind="template_failed",
            summary=f"message {number}",
            severity="error",
            fingerprint=None,
            error=None,
            details={"message": number},
            place="x:y:1",
        )
    took = time.monotonic() - started
    assert flush(10)

    assert Incident.objects.get().count == 10_000
    assert len(slack_server.requests) == 1
    assert took < 5  # half a millisecond each at most; about a tenth of that on an idle machine


def test_an_update_is_posted_only_after_a_while(slack_server: SlackServer, settings: Settings) -> None:
    settings.SLACK_WEBHOOK_URL = slack_server.url
    report()
    assert flush(10)
    report()
    assert flush(10)

    incident = Incident.objects.get()
    assert len(slack_server.requests) == 1
    assert (incident.count, incident.posted_count, incident.has_news) == (2, 1, True)
    assert incident.next_post_at > timezone.now()


def test_a_slack_that_hangs_does_not_delay_the_caller(slack_server: SlackServer, settings: Settings) -> None:
    settings.SLACK_WEBHOOK_URL = slack_server.url
    slack_server.answer = "hang"

    started = time.monotonic()
    for number in range(5):
        report(fingerprint=f"f{number}")
    took = time.monotonic() - started

    assert slack_server.wait_for(1)
    assert took < 5  # waiting for its answers: 25 s
    assert Incident.objects.count() == 5
    slack_server.refuse()
    settings.SLACK_WEBHOOK_URL = ""


def test_with_the_database_down_slack_is_told_directly_and_the_row_follows(
    slack_server: SlackServer, settings: Settings, database_down: pytest.MonkeyPatch
) -> None:
    settings.SLACK_WEBHOOK_URL = slack_server.url
    started = time.monotonic()
    report()
    took = time.monotonic() - started

    assert slack_server.wait_for(1)
    assert "not written to the database" in slack_server.texts[0]
    assert "template_failed" in slack_server.texts[0]
    assert took < 5

    incidents._poster().drain(5)
    database_down.undo()
    deadline = time.monotonic() + 15  # after a failed try the recorder leaves the database alone for DOWN_SECONDS
    while not Incident.objects.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    incident = Incident.objects.get()
    assert (incident.count, incident.posts, incident.has_news) == (1, 1, False)
    assert len(slack_server.requests) == 1


def test_a_storm_with_the_database_down_is_few_posts(
    slack_server: SlackServer, settings: Settings, database_down: pytest.MonkeyPatch
) -> None:
    settings.SLACK_WEBHOOK_URL = slack_server.url
    started = time.monotonic()
    for number in range(1_000):
        report(fingerprint=f"f{number}")
    took = time.monotonic() - started
    time.sleep(1.5)

    assert took < 20
    assert 1 <= len(slack_server.requests) <= took + 4


def test_a_locked_row_does_not_hold_the_caller() -> None:
    report()
    with transaction.atomic():
        Incident.objects.select_for_update().get()
        started = time.monotonic()
        time.sleep(1.1)  # past the folding of the first report
        report()
        took = time.monotonic() - started

    assert took < 2
    time.sleep(1)


def test_a_resolved_incident_that_comes_back_is_a_new_one() -> None:
    report()
    assert incident_resolve(incident_id=Incident.objects.get().pk, by="ana", now=timezone.now())
    report()
    assert flush(5)

    assert sorted(Incident.objects.values_list("state", flat=True)) == ["open", "resolved"]
    assert incident_clear(fingerprint="template_failed", by="check", now=timezone.now())
    assert not incident_clear(fingerprint="template_failed", by="check", now=timezone.now())


def test_a_forked_child_reports_by_itself() -> None:
    report(fingerprint="parent")
    child = os.fork()
    if child == 0:
        try:
            report(fingerprint="child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert set(Incident.objects.values_list("fingerprint", flat=True)) == {"parent", "child"}
    report(fingerprint="parent again")
    assert Incident.objects.count() == 3


def test_hostile_texts_are_stored() -> None:
    report(summary="\x00\ud800 <script>", details={"name": "\x00\ud800"}, fingerprint="\x00")

    assert Incident.objects.count() == 1
