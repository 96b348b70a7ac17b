"""The rows of the ledger. Every function that a supervisor calls uses a connection of its own for a short time.

`work_begin` and `work_end` use the worker's connection and wait for no disk: a row that a crash of the database
takes back is no loss, since the deployment's row tells of that death too.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import psycopg
import structlog
from django.db import connection as django_connection
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out
from psycopg.rows import dict_row

from resilience.ledger.memory import oom_counter, oom_kills, oom_kills_of
from resilience.ledger.models import Cause
from resilience.ledger.place import Place, lives, place_here, process_name
from resilience.own_connection import own_connection

log = structlog.get_logger(__name__)

_NOTHING: Mapping[str, Any] = MappingProxyType({})
FAULTS = (psycopg.Error, DatabaseFault)
# As long as a silent heartbeat: only for processes that cannot be looked at from here.
SILENT_AFTER = timedelta(seconds=60)
STATEMENT_TIMEOUT = "3s"


@dataclass(frozen=True)
class Run:
    """A deployment from its start to its stop."""

    part: str
    instance: str
    began_at: datetime
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    place: Place = field(default_factory=place_here)

    def process_name(self, pid: int) -> str:
        """Of one of its processes; no process of another run has this name, wherever it runs."""
        return process_name(host=self.place.host, pid=pid, start=self.id)


@dataclass(frozen=True)
class Unfinished:
    """Work that was in hand when its process died."""

    pid: int
    doing: str
    began_at: datetime

    def told(self) -> dict[str, Any]:
        return {"pid": self.pid, "doing": self.doing, "began_at": self.began_at.isoformat()}


@dataclass(frozen=True)
class UncleanEnd:
    """A deployment that is gone and did not say so."""

    part: str
    instance: str
    host: str
    pid: int
    cause: Cause
    seen_at: datetime
    unfinished: list[Unfinished]
    run: uuid.UUID

    def processes_at_work(self) -> list[str]:
        """The names of those that had work in hand."""
        pids = sorted({work.pid for work in self.unfinished})
        return [process_name(host=self.host, pid=pid, start=self.run) for pid in pids]


def run_seen(run: Run) -> bool:
    """Writes that the run goes on. True if its row was not there: it is new, or was held to be dead."""
    with _connection() as connection:
        row = connection.execute(
            """
            INSERT INTO resilience_deploymentrun
                (id, part, instance, host, boot_id, pid_namespace, pid, born, oom_kills, oom_counter, began_at, seen_at)
            VALUES (%(id)s, %(part)s, %(instance)s, %(host)s, %(boot_id)s, %(pid_namespace)s, %(pid)s, %(born)s,
                    %(oom_kills)s, %(oom_counter)s, %(began_at)s, clock_timestamp())
            ON CONFLICT (id) DO UPDATE
               SET seen_at = EXCLUDED.seen_at, oom_kills = EXCLUDED.oom_kills, oom_counter = EXCLUDED.oom_counter
            RETURNING xmax = 0 AS fresh
            """,
            asdict(run.place)
            | {"id": run.id, "part": run.part, "instance": run.instance, "began_at": run.began_at}
            | {"oom_kills": oom_kills(), "oom_counter": oom_counter()[:500]},
        ).fetchone()
        return bool(row and row["fresh"])


def run_unfinished(run: Run) -> list[Unfinished]:
    """What the processes of this run have in hand."""
    with _connection() as connection:
        rows = connection.execute(
            "SELECT pid, doing, began_at FROM resilience_workinhand WHERE run = %s ORDER BY began_at", [run.id]
        ).fetchall()
    return [Unfinished(**row) for row in rows]


def run_end(run: Run) -> None:
    """Takes the run's rows away: it stopped and says so."""
    with _connection() as connection, connection.transaction():
        connection.execute("DELETE FROM resilience_deploymentrun WHERE id = %s", [run.id])
        _unfinished_take(connection, run.id)


def runs_unclean(run: Run) -> list[UncleanEnd]:
    """Takes away the rows of deployments that are gone, this one apart, and records each as a death.

    Of those on this machine the kernel tells; any other is gone when it was not seen for `SILENT_AFTER`.
    Whoever deletes the row reports it, so it is told once however many look.
    """
    with _connection() as connection:
        rows = connection.execute(
            """
            SELECT *, clock_timestamp() - seen_at > %s AS silent FROM resilience_deploymentrun WHERE id <> %s
            """,
            [SILENT_AFTER, run.id],
        ).fetchall()
        ends = [_end_record(connection, row, here=run.place) for row in rows if _gone(row, run.place)]
    return [end for end in ends if end is not None]


def _gone(row: Mapping[str, Any], here: Place) -> bool:
    alive = lives(_place_of(row), here=here)
    return bool(row["silent"]) if alive is None else not alive


def _place_of(row: Mapping[str, Any]) -> Place:
    return Place(**{name: row[name] for name in ("host", "boot_id", "pid_namespace", "pid", "born")})


def _end_record(connection: psycopg.Connection[Any], row: Mapping[str, Any], *, here: Place) -> UncleanEnd | None:
    with connection.transaction():
        deleted = connection.execute("DELETE FROM resilience_deploymentrun WHERE id = %s", [row["id"]])
        if deleted.rowcount != 1:  # another one reports it
            return None
        unfinished = _unfinished_take(connection, row["id"])
        end = UncleanEnd(
            part=row["part"],
            instance=row["instance"],
            host=row["host"],
            pid=row["pid"],
            cause=_unclean_cause(row, here),
            seen_at=row["seen_at"],
            unfinished=unfinished,
            run=row["id"],
        )
        _death_insert(
            connection,
            end.part,
            end.instance,
            host=end.host,
            pid=end.pid,
            role="deployment",
            cause=end.cause,
            exit_code=None,
            doing=", ".join(sorted({work.doing for work in unfinished})),
            details={"unfinished": [work.told() for work in unfinished]},
        )
    return end


def _unclean_cause(row: Mapping[str, Any], here: Place) -> Cause:
    """By the counter of the dead one's own cgroup: the looker may live in another. It tells as long as that exists."""
    same = (row["host"], row["boot_id"], row["pid_namespace"]) == (here.host, here.boot_id, here.pid_namespace)
    counted = oom_kills_of(row["oom_counter"]) if same else None
    more = counted is not None and row["oom_kills"] is not None and counted > row["oom_kills"]
    return Cause.OUT_OF_MEMORY if more else Cause.UNCLEAN


def death_record(
    run: Run,
    *,
    pid: int,
    role: str,
    cause: Cause,
    exit_code: int | None,
    step: str = "",
    details: Mapping[str, Any] = _NOTHING,
) -> list[Unfinished]:
    """Records the death of one process of this run; returns what it had in hand (nothing: it was idle)."""
    with _connection() as connection, connection.transaction():
        unfinished = _unfinished_take(connection, run.id, pid=pid)
        doing = ", ".join(work.doing for work in unfinished)
        _death_insert(
            connection,
            run.part,
            run.instance,
            host=run.place.host,
            pid=pid,
            role=role,
            cause=cause,
            exit_code=exit_code,
            doing=f"{doing}: {step}" if doing and step else doing or step,
            details={**details, "unfinished": [work.told() for work in unfinished]},
        )
    return unfinished


def deaths_count(run: Run) -> dict[str, int]:
    """Deaths of this part and instance by cause, of earlier runs too."""
    with _connection() as connection:
        rows = connection.execute(
            "SELECT cause, count(*) AS n FROM resilience_workerdeath WHERE part = %s AND instance = %s GROUP BY cause",
            [run.part, run.instance],
        ).fetchall()
    return {row["cause"]: row["n"] for row in rows}


@contextmanager
def work_in_hand(run: Run | None, doing: str, *, now: datetime) -> Iterator[None]:
    """The row stands while the work goes on, and stays if the process ends in the middle of it.

    An `Exception` is an end like any other. A `SystemExit`, as django-q2's time-out is one, is the process's.
    """
    begun = run is not None and _try_execute(
        "INSERT INTO resilience_workinhand (run, pid, doing, began_at) VALUES (%s, %s, %s, %s)",
        [run.id, os.getpid(), doing, now],
    )
    try:
        yield
    except Exception:
        _work_end(run, begun=begun)
        raise
    _work_end(run, begun=begun)


def _work_end(run: Run | None, *, begun: bool) -> None:
    if run is not None and begun:
        _try_execute("DELETE FROM resilience_workinhand WHERE run = %s AND pid = %s", [run.id, os.getpid()])


def _try_execute(statement: str, values: list[Any]) -> bool:
    """One exchange with the server, which answers before its disk does. The work goes on where it cannot be had."""
    try:
        with django_connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL synchronous_commit = off; {statement}", values)
    except FAULTS as fault:
        log.warning("work_not_noted", error=str(fault))
        return False
    return True


@contextmanager
def _connection() -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with own_connection() as connection:
        connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'".encode())
        connection.row_factory = dict_row  # type: ignore[assignment]
        yield connection  # type: ignore[misc]


def _unfinished_take(
    connection: psycopg.Connection[Any], run: uuid.UUID, *, pid: int | None = None
) -> list[Unfinished]:
    rows = connection.execute(
        """
        DELETE FROM resilience_workinhand WHERE run = %(run)s AND (%(pid)s::int IS NULL OR pid = %(pid)s)
        RETURNING pid, doing, began_at
        """,
        {"run": run, "pid": pid},
    ).fetchall()
    return sorted((Unfinished(**row) for row in rows), key=lambda work: work.began_at)


def _death_insert(
    connection: psycopg.Connection[Any],
    part: str,
    instance: str,
    *,
    host: str,
    pid: int,
    role: str,
    cause: Cause,
    exit_code: int | None,
    doing: str,
    details: Mapping[str, Any],
) -> None:
    connection.execute(
        """
        INSERT INTO resilience_workerdeath
            (at, part, instance, host, pid, role, cause, exit_code, doing, details)
        VALUES (clock_timestamp(), %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [part, instance, host, pid, role, cause.value, exit_code, doing[:200], json.dumps(dict(details))],
    )
