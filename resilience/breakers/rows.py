"""The statements on the rows. Each is atomic by itself, and whoever changes a state learns it from the answer.

They run on the thread's connection, each committed at once; inside a transaction of the caller's they take a
connection of their own, so that no rollback loses a trip and no row stays locked. They raise what the database raises.

Whatever is waited for or compared runs by the database's clock: hosts' clocks differ, and what one of them takes for
over is probed by two at once, or by nobody. `now` is what people read of when a breaker opened and closed.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
from django.db import connection
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from resilience.breakers.models import BreakerState
from resilience.own_connection import own_connection

FAULTS = (psycopg.Error, DatabaseFault)
STATEMENT_TIMEOUT = "3s"

# What was written by a clock that was further ahead: the database's, set back since. Its wait or its lease could last
# for hours.
_AHEAD = "changed_at > clock_timestamp() + interval '1 minute'"
_LEASE_OVER = f"(state = 'half_open' AND (lease_until <= clock_timestamp() OR {_AHEAD}))"
# Open and due, or half-open by a prober whose lease is over.
_DUE = f"((state = 'open' AND (probe_at <= clock_timestamp() OR {_AHEAD})) OR {_LEASE_OVER})"


@dataclass(frozen=True, slots=True)
class Row:
    """What one breaker's row says."""

    name: str
    state: BreakerState
    reason: str = ""
    failures: int = 0
    next_try_at: datetime | None = None  # when a probe may be taken, by the database's clock
    due: bool = False  # it may be taken


@dataclass(frozen=True, slots=True)
class Probe:
    """The right to try one call on a breaker that is open, until its lease ends by the database's clock."""

    name: str
    token: uuid.UUID = field(repr=False)
    lease_until: datetime


def read(*, prefix: str = "", name: str = "") -> list[Row]:
    """Those whose name begins with `prefix`, or the one called `name`."""
    found = _all(
        f"""
        SELECT name, state, reason, failures, COALESCE(probe_at, lease_until), {_DUE}
        FROM resilience_circuitbreaker
        WHERE starts_with(name, %(prefix)s) AND (%(name)s = '' OR name = %(name)s)
        ORDER BY name
        """,  # noqa: S608 - a constant
        {"prefix": prefix, "name": name},
    )
    return [Row(name, BreakerState(state), *others) for name, state, *others in found]


def open_if_closed(*, name: str, reason: str, wait: timedelta, now: datetime) -> bool:
    """True for exactly one of all who say so at once."""
    return bool(
        _all(
            """
            INSERT INTO resilience_circuitbreaker AS b
                (name, state, reason, failures, opened_at, probe_at, changed_at)
            VALUES (%(name)s, 'open', %(reason)s, 0, %(now)s, clock_timestamp() + %(wait)s, clock_timestamp())
            ON CONFLICT (name) DO UPDATE
                SET state = 'open', reason = EXCLUDED.reason, failures = 0, opened_at = EXCLUDED.opened_at,
                    closed_at = NULL, probe_at = EXCLUDED.probe_at, changed_at = EXCLUDED.changed_at
                WHERE b.state = 'closed'
            RETURNING 1
            """,
            {"name": name, "reason": reason, "wait": wait, "now": now},
        )
    )


def open_again(*, name: str, reason: str, wait: timedelta) -> bool:
    """A call failed that began before the breaker opened: the wait begins anew.

    While a process holds the probe nothing changes: its word is newer.
    """
    return bool(
        _all(
            f"""
            UPDATE resilience_circuitbreaker
            SET state = 'open', reason = %(reason)s, probe_at = clock_timestamp() + %(wait)s, lease_until = NULL,
                lease_token = NULL, changed_at = clock_timestamp()
            WHERE name = %(name)s AND (state = 'open' OR {_LEASE_OVER})
            RETURNING 1
            """,  # noqa: S608 - a constant
            {"name": name, "reason": reason, "wait": wait},
        )
    )


def probe_failed(probe: Probe, *, reason: str, wait: timedelta) -> bool:
    """The wait begins anew. False if its lease went to another meanwhile, whose word is newer."""
    return bool(
        _all(
            """
            UPDATE resilience_circuitbreaker
            SET state = 'open', reason = %(reason)s, probe_at = clock_timestamp() + %(wait)s, lease_until = NULL,
                lease_token = NULL, changed_at = clock_timestamp()
            WHERE name = %(name)s AND state = 'half_open' AND lease_token = %(token)s
            RETURNING 1
            """,
            {"name": probe.name, "token": probe.token, "reason": reason, "wait": wait},
        )
    )


def probes_take(*, lease: timedelta, prefix: str = "", names: Collection[str] | None = None) -> list[Probe]:
    """All that are due and that nobody else takes at this moment."""
    token = uuid.uuid4()
    found = _all(
        f"""
        UPDATE resilience_circuitbreaker AS b
        SET state = 'half_open', probe_at = NULL, lease_token = %(token)s,
            lease_until = clock_timestamp() + %(lease)s, changed_at = clock_timestamp()
        FROM (
            SELECT id FROM resilience_circuitbreaker
            WHERE starts_with(name, %(prefix)s) AND (%(names)s::text[] IS NULL OR name = ANY(%(names)s)) AND {_DUE}
            ORDER BY id FOR UPDATE SKIP LOCKED
        ) AS due
        WHERE b.id = due.id
        RETURNING b.name, b.lease_until
        """,  # noqa: S608 - a constant
        {"token": token, "lease": lease, "prefix": prefix, "names": None if names is None else list(names)},
    )
    return [Probe(name, token, until) for name, until in found]


def probe_give_back(probe: Probe) -> bool:
    """Unused: another process may try at once. False if the lease went to another meanwhile."""
    return bool(
        _all(
            """
            UPDATE resilience_circuitbreaker
            SET state = 'open', probe_at = clock_timestamp(), lease_until = NULL, lease_token = NULL,
                changed_at = clock_timestamp()
            WHERE name = %(name)s AND state = 'half_open' AND lease_token = %(token)s
            RETURNING 1
            """,
            {"name": probe.name, "token": probe.token},
        )
    )


def close(probe: Probe, *, now: datetime) -> bool:
    """The probe went well. False if its lease went to another meanwhile, whose word is newer."""
    return bool(
        _all(
            """
            UPDATE resilience_circuitbreaker
            SET state = 'closed', failures = 0, closed_at = %(now)s, lease_until = NULL, lease_token = NULL,
                changed_at = clock_timestamp()
            WHERE name = %(name)s AND state = 'half_open' AND lease_token = %(token)s
            RETURNING 1
            """,
            {"name": probe.name, "token": probe.token, "now": now},
        )
    )


def failure_add(*, name: str, window: timedelta) -> int:
    """One more failure of a closed breaker; returns how many there are in a row, of all processes together.

    0 if it is not closed. A failure longer ago than `window` is forgotten.
    """
    found = _all(
        """
        INSERT INTO resilience_circuitbreaker AS b (name, state, reason, failures, last_failure_at, changed_at)
        VALUES (%(name)s, 'closed', '', 1, clock_timestamp(), clock_timestamp())
        ON CONFLICT (name) DO UPDATE
            SET failures = CASE WHEN b.last_failure_at >= clock_timestamp() - %(window)s THEN b.failures + 1 ELSE 1 END,
                last_failure_at = EXCLUDED.last_failure_at, changed_at = EXCLUDED.changed_at
            WHERE b.state = 'closed'
        RETURNING failures
        """,
        {"name": name, "window": window},
    )
    return int(found[0][0]) if found else 0


def failures_forget(*, name: str) -> None:
    """A call went well: the row of failures is broken."""
    _all(
        """
        UPDATE resilience_circuitbreaker SET failures = 0, changed_at = clock_timestamp()
        WHERE name = %(name)s AND state = 'closed' AND failures > 0 RETURNING 1
        """,
        {"name": name},
    )


def connection_mend() -> None:
    """After a fault: let the thread's connection go if it is broken, so that the next statement opens a new one."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def _all(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    if connection.in_atomic_block:
        with own_connection() as own:
            own.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
            return own.execute(sql, parameters).fetchall()
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
