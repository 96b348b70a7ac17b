from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from resilience import incidents
from resilience.sentry import sentry_start, sentry_task


class Kept(Transport):
    """Keeps what would leave."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))


@pytest.fixture
def sentry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    monkeypatch.setattr(incidents.recorder, "submit", lambda report: None)
    kept = Kept()
    assert sentry_start(dsn="https://key@sentry.invalid/1", environment="test", transport=kept)
    yield kept
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def test_without_a_dsn_nothing_is_sent() -> None:
    assert not sentry_start(dsn="", environment="test")


def test_a_tasks_exception_is_sent_with_its_traceback_and_raised_on(sentry: Kept) -> None:
    with pytest.raises(ValueError, match="broken"), sentry_task("realtime"):
        raise ValueError("broken, token=hush")

    (event,) = sentry.events
    assert event["exception"]["values"][0]["stacktrace"]["frames"]
    assert event["transaction"] == "realtime"
    assert event["exception"]["values"][0]["value"] == "broken, token=[redacted]"


def test_django_qs_own_line_is_not_a_second_event(sentry: Kept) -> None:
    logging.getLogger("django-q").error("Failed 'x'")

    assert sentry.events == []
