"""Throw-away databases on the configured server: one template that is migrated once, and a clone for each drill.

Whoever makes them holds an advisory lock as long as it lives, and drops them when it ends. What a killed game day
left behind is dropped by the next one, which can take that lock.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

PREFIX = "watchkeeper_gameday_"
_OWNER = "SELECT pg_try_advisory_lock(hashtext('watchkeeper game day'), hashtext(%s))"


class NoDatabase(Exception):
    """No throw-away database can be made; the text says why and what helps."""


def url_with(url: str, database: str) -> str:
    """The address of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


class ThrowAway:
    """The databases of one game day. Use it as `with throw_away(url) as databases`."""

    def __init__(self, url: str, connection: psycopg.Connection, token: str) -> None:
        self._url = url
        self._connection = connection
        self._token = token
        self._made = 0

    def new(self, *, template: str | None = None) -> str:
        """Make a database, empty or as the template is; its address."""
        self._made += 1
        name = f"{PREFIX}{self._token}_{self._made}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(urlsplit(template).path[1:]))
        try:
            self._connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as fault:
            raise NoDatabase("the role of DATABASE_URL may not make databases: ALTER ROLE … CREATEDB") from fault
        return url_with(self._url, name)

    def drop(self, url: str) -> None:
        """Drop one of them, whoever is connected."""
        _drop(self._connection, urlsplit(url).path[1:])

    def drop_all(self) -> None:
        for name in _names(self._connection):
            if name.startswith(f"{PREFIX}{self._token}_"):
                _drop(self._connection, name)


@contextmanager
def throw_away(url: str) -> Iterator[ThrowAway]:
    """Databases beside the one at `url`, dropped at the end however it comes. Raises `NoDatabase`."""
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as fault:
        raise NoDatabase(f"the database server cannot be reached: {fault}") from fault
    with connection:
        _sweep(connection)
        token = secrets.token_hex(4)
        connection.execute(_OWNER, [token])
        databases = ThrowAway(url, connection, token)
        try:
            yield databases
        finally:
            databases.drop_all()


def _sweep(connection: psycopg.Connection) -> None:
    """What game days left behind that were killed."""
    for name in _names(connection):
        token = name.removeprefix(PREFIX).partition("_")[0]
        taken = connection.execute(_OWNER, [token]).fetchone()
        if taken is not None and taken[0]:
            _drop(connection, name)
            connection.execute("SELECT pg_advisory_unlock(hashtext('watchkeeper game day'), hashtext(%s))", [token])


def _names(connection: psycopg.Connection) -> list[str]:
    found = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
    return sorted(str(row[0]) for row in found.fetchall())


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
