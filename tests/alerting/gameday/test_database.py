"""Throw-away databases go, however the game day ends."""

from __future__ import annotations

import psycopg
import pytest
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from alerting.gameday.database import PREFIX, throw_away, url_with


def names() -> set[str]:
    with psycopg.connect(settings.DATABASE_URL) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        return {str(row[0]) for row in rows.fetchall()}


def test_another_database_of_the_same_server_keeps_all_else_of_the_address() -> None:
    url = "postgresql://watchkeeper:hush@/watchkeeper?host=%2Ftmp%2Fsocket&port=5432"

    assert url_with(url, "other") == "postgresql://watchkeeper:hush@/other?host=%2Ftmp%2Fsocket&port=5432"


def test_a_clone_has_what_its_template_has() -> None:
    with throw_away(settings.DATABASE_URL) as databases:
        template = databases.new()
        with psycopg.connect(template) as connection:
            connection.execute("CREATE TABLE ships AS SELECT 512000001 AS mmsi")

        clone = databases.new(template=template)

        with psycopg.connect(clone) as connection:
            assert connection.execute("SELECT mmsi FROM ships").fetchall() == [(512000001,)]


def test_all_are_dropped_at_the_end_even_after_a_ctrl_c_and_with_somebody_connected() -> None:
    before = names()

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert names() <= before


def interrupted() -> None:
    with throw_away(settings.DATABASE_URL) as databases, psycopg.connect(databases.new()):
        raise KeyboardInterrupt


def test_what_a_killed_game_day_left_is_dropped_by_the_next_and_a_living_ones_is_not() -> None:
    left = f"{PREFIX}deadbeef_1"
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{left}"')

    with throw_away(settings.DATABASE_URL) as living:
        mine = conninfo_to_dict(living.new())["dbname"]
        with throw_away(settings.DATABASE_URL):
            now = names()

    assert left not in now
    assert mine in now
