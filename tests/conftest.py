"""What all tests share: the database.

The settings start the embedded PostgreSQL where `DATABASE_URL` is unset. `WATCHKEEPER_TEST_DB` names the test
database, so that several runs can share one server.
"""

from __future__ import annotations

import os

import pytest
from django.conf import settings


def pytest_configure(config: pytest.Config) -> None:
    name = os.environ.get("WATCHKEEPER_TEST_DB", "test_watchkeeper")
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = name
