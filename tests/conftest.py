"""What all tests share: the database, and which tests need what.

The settings start the embedded PostgreSQL where `DATABASE_URL` is unset. `WATCHKEEPER_TEST_DB` names the test
database, so that several runs can share one server.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any

import pytest
from django.conf import settings
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import TransactionTestCase

from alerting.transports.email.early import early_envelopes

pytest_plugins = ["tests.slack_server", "tests.incident_rows", "tests.smtp_server"]

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def pytest_configure(config: pytest.Config) -> None:
    name = os.environ.get("WATCHKEEPER_TEST_DB", "test_watchkeeper")
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = name
    DatabaseOperations.sql_flush = _empty_tables  # type: ignore[method-assign]
    config.addinivalue_line("markers", "database: needs PostgreSQL (set by itself)")


@pytest.fixture(autouse=True)
def _servers_are_unknown() -> None:
    """A port that is used again is another server's."""
    early_envelopes.cache_clear()


def _empty_tables(operations: DatabaseOperations, style: Any, tables: Sequence[str], **options: bool) -> list[str]:
    """After each test that commits. Django's TRUNCATE makes new files for every table and index, which takes half a
    second; the tables hold a few rows. Foreign keys are not looked at meanwhile, hence no order."""
    deletes = [f"DELETE FROM {operations.quote_name(table)}" for table in tables]
    return ["SET LOCAL session_replication_role = replica", *deletes] if deletes else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a database, so that it can be run alone, and skips the browser where there is none."""
    no_browser = not any(shutil.which(name) for name in CHROMIUM)
    for item in items:
        if _needs_database(item):
            item.add_marker("database")
        if no_browser and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="there is no Chromium here"))


def _needs_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db"):
        return True
    cls = getattr(item, "cls", None)
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(fixtures & {"db", "transactional_db", "live_server"}) or (
        isinstance(cls, type) and issubclass(cls, TransactionTestCase)
    )
