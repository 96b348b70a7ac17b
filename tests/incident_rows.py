"""Incidents are written outside the test's transaction, so they are taken away after the test that made them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilience import incidents
from resilience.own_connection import own_connection


@pytest.fixture(autouse=True)
def _no_incidents_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Costs nothing where a test reports nothing."""
    incidents.recorder.forget()
    yield
    incidents.flush(2.0)
    wrote = incidents.recorder.rows_written
    incidents.recorder.forget()
    if wrote:
        blocker = request.getfixturevalue("django_db_blocker")
        with blocker.unblock(), own_connection() as connection:
            connection.execute("SET lock_timeout = '2s'")
            connection.execute("DELETE FROM resilience_incident")
