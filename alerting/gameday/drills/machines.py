"""Drills on what lies around: the database server restarts, the clock jumps, one organisation floods the queue."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any, LiteralString

from django.conf import settings
from django.db import connection
from psycopg import sql

from alerting.cycle.queue import reap
from alerting.gameday.drill import drill
from alerting.gameday.processes import parent_of
from alerting.gameday.readers import Reader
from alerting.gameday.stage import Stage
from alerting.models import Message, Notification, State

CONNECTIONS = 20
FLOOD = 100_000


@drill(
    "database-restarted",
    broke="PostgreSQL is killed in the middle of a cycle and is away for three seconds",
    processes=True,
    own_server=True,
)
def database_restarted(stage: Stage) -> None:
    """The cycle resumes by itself within ten seconds after the database is back; nothing is lost, what was on the wire
    is repeated at most once for each connection, and Slack hears that the database was lost."""
    readers = stage.readers(4)
    stage.may_repeat = CONNECTIONS
    stage.smtp.delay = 0.1
    stage.worker("housekeeping", ready=False)
    stage.worker()
    stage.crossings(40, readers)
    stage.wait(lambda: len(stage.smtp.mails) >= 10, 30)
    server = _server()

    stage.strike()
    launcher = parent_of(server)
    os.kill(launcher, signal.SIGSTOP)  # it would start the server again at once
    os.kill(server, signal.SIGKILL)
    time.sleep(3)
    os.kill(launcher, signal.SIGCONT)
    stage.wait(_answers, 30)
    back, before = time.monotonic(), len(stage.smtp.mails)
    stage.wait(lambda: len(stage.smtp.mails) > before + CONNECTIONS or stage.all_sent(), 60)
    took = time.monotonic() - back
    stage.promise("sending resumes within ten seconds", took <= 10, f"{took:.1f} s")
    stage.promise("all is sent", stage.wait(stage.all_sent, 60), "not all")
    stage.slack_hears(
        "send_cycle_lost_the_database",
        "failed_query_pending_notifications",
        "outcome_not_recorded",
        "cycle_not_recorded",
        "panic_in_send_cycle",
        "matching_failed",
        "worker_died",
        "worker_deployment_failed",
    )


def _server() -> int:
    """The process of PostgreSQL: the parent of whoever serves us."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return parent_of(int(cursor.fetchone()[0]))


def _answers() -> bool:
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


@drill("clock-jumps", broke="the clock jumps an hour forward in the middle of a cycle, and back")
def clock_jumps(stage: Stage) -> None:
    """Nothing is lost or goes stale. Leases that seem to have run out repeat at most what is on the wire; what was put
    an hour off by the jump back has its next time, and leaves then."""
    readers = stage.readers(4)
    stage.may_repeat = CONNECTIONS
    stage.smtp.delay = 0.1
    stage.alerts(15, readers)

    first = threading.Thread(target=_cycle_of_another, args=(stage,), daemon=True)
    first.start()
    stage.smtp.wait_for(10)
    stage.later(hours=1)
    reap(now=stage.now())
    stage.cycle()
    first.join(60)
    stage.promise("the cycle under way ends", not first.is_alive(), "it hangs")
    stage.smtp.delay = 0
    stage.alerts(1, readers)
    stage.later(hours=-1)
    stage.cycle()
    states = set(Message.objects.values_list("state", flat=True))
    stage.promise("nothing is given up", states <= {State.SENT, State.PENDING}, states)

    stage.later(hours=1)
    stage.settle()


def _cycle_of_another(stage: Stage) -> None:
    try:
        stage.cycle()
    finally:
        connection.close()


@drill("flood", broke=f"one organisation has {FLOOD:,} notifications waiting")
def flood(stage: Stage) -> None:
    """Another organisation's single notification is delayed by one batch at most: what the cycle has in hand when it
    comes. The next claim takes it, and puts it before the rest of the flood."""
    flooded, single = stage.readers(1), stage.readers(1, slug="kahu")
    stage.victims = {flooded[0].user.pk}
    stage.alerts(1, flooded)
    _multiply(stage, flooded[0], FLOOD)
    done = threading.Event()
    first = threading.Thread(target=_cycle_until, args=(stage, done), daemon=True)
    first.start()
    stage.promise("the flood is being sent", stage.smtp.wait_for(2 * settings.CLAIM_SIZE, 60), len(stage.smtp.mails))

    stage.alerts(1, single)
    before, came = len(stage.smtp.mails), time.monotonic()
    reached = stage.wait(lambda: stage.smtp.to(single[0].address), 60)
    took = time.monotonic() - came
    done.set()
    first.join(60)
    stage.promise("the single notification is sent", reached, f"not after {took:.1f} s")
    ahead = _mails_before(stage, single[0]) - before
    allowed = settings.CLAIM_SIZE + 2 * CONNECTIONS  # one batch, and what is on the wire
    stage.promise(f"no more than {allowed} others leave before it", ahead <= allowed, ahead)
    waiting = Notification.objects.filter(state=State.PENDING).count()
    stage.promise("the flood still waits", waiting > FLOOD // 2, waiting)


def _cycle_until(stage: Stage, done: threading.Event) -> None:
    try:
        while not done.is_set():
            stage.cycle(stopping=done.is_set)
    finally:
        connection.close()


def _mails_before(stage: Stage, reader: Reader) -> int:
    return next((n for n, mail in enumerate(stage.smtp.mails) if reader.address in mail.to), len(stage.smtp.mails))


def _multiply(stage: Stage, reader: Reader, count: int) -> None:
    """Copies of the one alert of this reader, as if so many vessels had crossed."""
    message = Message.objects.get(user=reader.user)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE copies AS SELECT nextval('alerting_message_id_seq') AS id"
            " FROM generate_series(1, %s)",
            [count],
        )
        new_id = "'<flood' || c.id || '@gameday.example>'"
        _copy(cursor, "alerting_message", message.pk, {"id": "c.id", "message_id": new_id})
        _copy(
            cursor,
            "alerting_notification",
            Notification.objects.get(message=message).pk,
            {
                "id": "nextval('alerting_notification_id_seq')",
                "message_id": "c.id",
                "dedupe_key": "'flood:' || c.id",
            },
        )
        cursor.execute("ANALYZE alerting_message, alerting_notification")
    stage.owes(count)


def _copy(cursor: Any, table: str, key: int, changes: Mapping[LiteralString, LiteralString]) -> None:
    """This row once for each of `copies`, called c, with other values in some columns."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s", [table]
    )
    columns = [row[0] for row in cursor.fetchall()]
    values = [sql.SQL(changes[name]) if name in changes else sql.Identifier("t", name) for name in columns]
    statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} t CROSS JOIN copies c WHERE t.id = %s").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(values),
        sql.Identifier(table),
    )
    cursor.execute(statement, [key])
