"""Throw-away databases on the server that the settings name, migrated by the settings of whoever uses them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from django.db import connection
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

ROOT = Path(__file__).resolve().parents[2]


class NotDurable(Exception):
    """The server may lose what it said is committed: figures from it do not count."""


def named(url: str, database: str) -> str:
    """The address of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


@contextmanager
def throw_away(server: str, name: str, *, settings: str = "config.settings", var: Path) -> Iterator[dict[str, str]]:
    """The environment of processes that use a new, migrated database. It is dropped at the end.

    `server`: any address on it. `var`: their VAR_DIR. Raises `NotDurable` where fsync or synchronous_commit is off.
    """
    database = f"bench_{name}_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as admin:
        _demand_durability(admin)
        _drop(admin, database)
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    environment = process_environment(named(server, database), settings=settings, var=var)
    try:
        manage(environment, "migrate", "--verbosity=0")
        yield environment
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            _drop(admin, database)


@contextmanager
def used_here(environment: Mapping[str, str]) -> Iterator[None]:
    """Django of this process uses that database meanwhile."""
    parts = conninfo_to_dict(environment["DATABASE_URL"])
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    before = {name: connection.settings_dict[name] for name in names}
    connection.close()
    connection.settings_dict.update({name: str(parts.get(key) or "") for name, key in names.items()})
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)


def process_environment(url: str, *, settings: str = "config.settings", var: Path) -> dict[str, str]:
    """Ours, without what would lead a child elsewhere."""
    kept = {
        key: value for key, value in os.environ.items() if key not in ("Q_CLUSTER_NAME", "PROMETHEUS_MULTIPROC_DIR")
    }
    return kept | {"DATABASE_URL": url, "VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": settings, "LOG_FORMAT": "json"}


def manage(environment: Mapping[str, str], *command: str) -> None:
    """A command of Django. Raises `CalledProcessError` with what it said on standard error."""
    subprocess.run(
        [sys.executable, "-m", "django", *command],
        cwd=ROOT,
        env=dict(environment),
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _drop(admin: psycopg.Connection, database: str) -> None:
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def _demand_durability(admin: psycopg.Connection) -> None:
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        row = admin.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
        if row is None or row[0] != "on":
            raise NotDurable(f"{name} is not on")
