"""Drills on what lies around: the database server restarts, the clock jumps, one organisation floods the queue."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, LiteralString

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone
from psycopg import sql

from alerting.cycle.queue import reap
from alerting.gameday.drill import PRODUCTION_LADDER, drill
from alerting.gameday.processes import parent_of
from alerting.gameday.readers import Reader
from alerting.gameday.stage import Stage
from alerting.models import Attempt, Lease, Message, Notification, State

FLOOD = 100_000


@drill(
    "database-restarted",
    broke="PostgreSQL is killed in the middle of a cycle and is away for three seconds",
    processes=True,
    own_server=True,
    environment={"RETRY_LADDER_SECONDS": PRODUCTION_LADDER},  # an attempt that it burns costs half a minute, and shows
)
def database_restarted(stage: Stage) -> None:
    """The cycle resumes by itself within ten seconds after the database is back; nothing is lost, no attempt is burnt,
    what was on the wire is repeated at most once for each connection, and Slack hears that the database was lost."""
    readers, connections = stage.readers(4), settings.MAIL_CONNECTIONS
    stage.may_repeat = connections
    stage.smtp.delay = 0.1
    stage.worker("housekeeping", ready=False)
    stage.worker()
    stage.crossings(75, readers)
    stage.promise("it sends", stage.wait(lambda: len(stage.smtp.mails) >= 10, 30), len(stage.smtp.mails))
    in_hand = Lease.objects.count()
    stage.promise("the database is lost with messages in hand", in_hand > connections, in_hand)
    server = _server()

    stage.strike()
    launcher = parent_of(server)
    os.kill(launcher, signal.SIGSTOP)  # it would start the server again at once
    os.kill(server, signal.SIGKILL)
    time.sleep(3)
    os.kill(launcher, signal.SIGCONT)
    stage.wait(_answers, 30)
    back, before = time.monotonic(), len(stage.smtp.mails)
    left = 4 * 75 - before
    stage.promise("it was away in the middle of a cycle", left > 2 * connections, f"{left} were left to send")
    # more than what waited on the open connections
    resumed = stage.wait(lambda: len(stage.smtp.mails) > before + connections, 10)
    stage.promise("sending resumes within ten seconds", resumed, f"not after {time.monotonic() - back:.1f} s")
    stage.promise("all is sent", stage.wait(stage.all_sent, 60), "not all")
    burnt = Message.objects.filter(Q(attempts_made__gt=1) | Q(attempts_made=1) & ~Q(state=State.SENT)).count()
    failed = Attempt.objects.exclude(outcome=Attempt.Outcome.SENT).count()
    stage.promise("no attempt is burnt by it", not burnt and not failed, f"{burnt} messages, {failed} attempts")
    stage.slack_hears("send_cycle_lost_the_database")


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


class HostClock:
    """The clock of one machine, which can be put wrong."""

    def __init__(self) -> None:
        self.wrong_by = timedelta(0)

    def __call__(self) -> datetime:
        return timezone.now() + self.wrong_by


@drill("clock-jumps", broke="in the middle of a cycle its clock jumps an hour back, and another machine's forward")
def clock_jumps(stage: Stage) -> None:
    """Leases do not follow the clocks of machines: however far these are apart, nothing is lost, goes stale or is
    repeated. What a clock put an hour off has its next time, and leaves then."""
    readers, sender, other = stage.readers(4), HostClock(), HostClock()
    stage.smtp.delay = 0.1
    stage.alerts(75, readers)
    # due for so long that the machine whose clock falls back claims more of it
    Message.objects.update(next_attempt_at=timezone.now() - timedelta(hours=2))
    cycle = stage.cycle_meanwhile(clock=sender, worker="sender:1")
    stage.promise("it sends", stage.smtp.wait_for(10), len(stage.smtp.mails))

    sender.wrong_by, other.wrong_by = -timedelta(hours=1), timedelta(hours=1)
    before = set(Lease.objects.values_list("token", flat=True))
    since = Lease.objects.exclude(token__in=before)
    stage.promise("it claims on either side of the jump", stage.wait(since.exists, 10), "no claim came after it")
    _other_machine(stage, other, until=lambda: not cycle.is_alive())
    stage.promise("the cycle under way ends", not cycle.is_alive(), "it hangs")
    deaths = Message.objects.filter(deaths__gt=0).count()
    stage.promise("no living machine is taken for dead", not deaths, f"{deaths} messages with a death")

    stage.smtp.delay = 0
    stage.later(hours=1)
    stage.alerts(1, readers)
    stage.later(hours=-1)
    stage.cycle()
    states = set(Message.objects.values_list("state", flat=True))
    stage.promise("nothing is given up", states == {State.SENT, State.PENDING}, states)
    stage.promise("nothing is held on to", not Lease.objects.exists(), Lease.objects.count())
    stage.later(hours=1)
    stage.settle()


def _other_machine(stage: Stage, clock: HostClock, *, until: Callable[[], bool]) -> None:
    """It takes back whose leases it thinks have run out, and sends what it finds."""

    def over() -> bool:
        reap(now=clock())
        stage.cycle(clock=clock, worker="other:1")
        return until()

    stage.wait(over, 60)


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
    allowed = settings.CLAIM_SIZE + 2 * settings.MAIL_CONNECTIONS  # one batch, and what is on the wire
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
