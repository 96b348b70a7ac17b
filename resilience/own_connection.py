"""A database connection beside the caller's: what is written here survives the caller's rollback.

Opened for one use and closed after it. So nothing is shared across forks or threads, and no idle connection
stays behind in any process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import Connection

CONNECT_TIMEOUT_SECONDS = 2  # the least that libpq knows


@contextmanager
def own_connection() -> Iterator[Connection]:
    """A psycopg connection in autocommit mode to Django's default database.

    It is made by Django's wrapper, so that tests which may not use the database cannot reach it this way.
    Raises Django's or psycopg's `OperationalError` where the database cannot be reached.
    """
    wrapper = connections.create_connection(DEFAULT_DB_ALIAS)
    wrapper.settings_dict = deepcopy(wrapper.settings_dict)
    wrapper.settings_dict["OPTIONS"].pop("pool", None)
    wrapper.settings_dict["OPTIONS"]["connect_timeout"] = CONNECT_TIMEOUT_SECONDS
    try:
        wrapper.ensure_connection()
        yield wrapper.connection
    finally:
        wrapper.close()
