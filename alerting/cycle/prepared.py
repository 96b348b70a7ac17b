"""Statements that are planned once for each connection: planning ours costs more than running them on a few rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from psycopg import Cursor

from alerting.cycle.memory import lacks_memory, room_give_back

# The planner thinks of the average organisation and would sort or read all of the one that has a million rows waiting;
# it has seen how many messages are held at a moment when none was, and would go through all leases for each message.
# Nor is it asked again for each claim, which costs as much as taking twenty rows. And a way that is off looks so dear
# that a server with LLVM would compile the plan each time, which takes it a third of a second.
_OFF = ("jit", "enable_sort", "enable_bitmapscan", "enable_seqscan", "enable_hashjoin", "enable_mergejoin")
_BY_INDEX = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true), " + ", ".join(
    f"set_config('{setting}', 'off', true)" for setting in _OFF
)


def prepared_run(query: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """The rows of a query of our own text, by a prepared statement, which Django's cursors do not make.

    They come in binary: Django reads the text of a time in Python, which takes 5 µs. Raises what Django's cursors do.
    """
    connection.ensure_connection()
    raw = connection.connection
    raw.prepare_threshold = 1
    with connection.wrap_database_errors, Cursor(raw) as cursor:
        return cursor.execute(query.encode(), values, prepare=True, binary=True).fetchall()


@contextmanager
def by_index() -> Iterator[None]:
    """A transaction whose statements look rows up by index, each by itself, however many there are: by one plan.

    A lack of memory in it closes the connection.
    """
    with transaction.atomic():
        try:
            prepared_run(_BY_INDEX)
            yield
        except Exception as fault:
            if lacks_memory(fault):
                room_give_back()  # else it must be told to roll back: that takes memory too, and hides what was wrong
            raise
