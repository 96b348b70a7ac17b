"""The rows that a cycle reads: what it costs the server to find those of a claim."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from alerting.cycle import rows
from alerting.cycle.any_of import array_of
from alerting.cycle.prepared import by_index
from alerting.cycle.rows import message_rows
from tests.alerting.cycle.test_queue import fill, take
from tests.alerting.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def test_only_what_the_claim_holds_is_read_in_the_order_in_which_it_was_due(world: World) -> None:
    fill(world, 6, email="a@moana.example")
    ours, others = take(3), take(3)

    found = message_rows([*others.message_ids, *ours.message_ids], ours.token)

    assert [row.pk for row in found] == list(ours.message_ids)
    assert message_rows([], ours.token) == []


def test_what_the_server_looks_through_grows_with_the_claim_alone(world: World) -> None:
    """Planned while nothing was there, as in a new database, and run while others hold much."""
    held = "PREPARE held (bigint[], uuid) AS " + rows._USUAL.replace("%s::bigint[]", "$1").replace("%s", "$2")
    with by_index(), connection.cursor() as cursor:
        cursor.execute("ANALYZE alerting_message, alerting_lease")
        cursor.execute(held)
        cursor.execute("EXECUTE held ('{}', gen_random_uuid())")
    fill(world, 900, email="a@moana.example")
    for _ in range(8):
        take(100)
    ours = take(100)

    looked_at = sum(rows_looked_at(node) for node in plan_run(ours.message_ids, ours.token))

    # keys, their messages, their leases, joined and sorted
    assert 100 <= looked_at <= 700


def test_messages_are_read_by_that_plan(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[str] = []
    fill(world, 1, email="a@moana.example")
    ours = take(1)

    def prepared_run(query: str, values: list[Any]) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            for setting in ("plan_cache_mode", "enable_seqscan"):
                cursor.execute(f"SHOW {setting}")
                ways.append(cursor.fetchone()[0])
        return real(query, values)

    real = rows.prepared_run
    monkeypatch.setattr(rows, "prepared_run", prepared_run)

    assert [row.pk for row in message_rows(ours.message_ids, ours.token)] == list(ours.message_ids)
    assert ways == ["force_generic_plan", "off"]


def test_a_lack_of_memory_is_what_it_is_though_nothing_can_be_rolled_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rollback() -> None:
        raise MemoryError

    fill(world, 2, email="a@moana.example")
    monkeypatch.setattr(connection, "_rollback", rollback)
    with pytest.raises(MemoryError, match="no room for a row"), by_index():
        raise MemoryError("no room for a row")

    assert connection.get_autocommit()
    assert len(take(2).message_ids) == 2


def plan_run(keys: tuple[int, ...], token: object) -> Iterator[dict[str, Any]]:
    """The nodes of the plan that is run."""
    with by_index(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE held ('{array_of(keys)}', '{token}')")
        said = cursor.fetchone()[0]
        cursor.execute("DEALLOCATE held")
    return nodes((said if isinstance(said, list) else json.loads(said))[0]["Plan"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def rows_looked_at(node: dict[str, Any]) -> float:
    """Those that it gave on, and those that it threw away, in all of its loops."""
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")
    return float(node["Actual Loops"] * sum(node.get(name, 0) for name in names))
