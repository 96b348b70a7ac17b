"""What is lost and what is repeated when processes are killed or stopped, by the Message-IDs that the server took.

Real deployments send 20,000 mails each time: with `kill -9` (of the process that sends, and of the whole deployment, in
turns), with SIGTERM, from two hosts at once, and with a PostgreSQL of their own that is killed. Whoever ends is started
again, as by systemd. Every case is measured once; some minutes in all.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connection
from django.utils import timezone

from alerting.models import FINAL_STATES, Message
from benchmarks.frame import Case
from benchmarks.stage.counting_sink import CountingSink, Taken
from benchmarks.stage.databases import throw_away, used_here
from benchmarks.stage.deployments import Deployment, Deployments, wait_until
from benchmarks.stage.rows import prepared_make
from config.embedded_postgres import ensure_running

MESSAGES, FAULTS = 20_000, 20
CONNECTIONS = 20
# Short, so that the claims of the dead come back within the run.
SETTINGS = {"MAIL_CONNECTIONS": str(CONNECTIONS), "SEND_DEADLINE_SECONDS": "3", "LEASE_SECONDS": "10"}
DELAY = 0.005  # several mails are always on the wire
LONGEST_SECONDS = 600.0
# In which the server reads what was on its way when a sender died.
READ_SECONDS = 0.2
END_SECONDS = 40.0  # to notice that a child was killed, and end
# PostgreSQL's launcher gives up after three restarts in a minute, so: three, and a server slow enough to outlast them.
SERVER_KILLS, SERVER_EVERY_SECONDS, SLOW_CONNECTIONS, SLOW_DELAY = 3, 20.0, 5, 0.020
SERVER_MESSAGES = 16_000
RESUMED_SECONDS = 10.0


@dataclass
class Stage:
    """One run: its deployments and its mail server."""

    sink: CountingSink
    deployments: Deployments
    url: str
    messages: int
    faults_at: list[float] = field(default_factory=list)  # wall clock

    def count(self) -> int:
        return len(self.sink.taken())

    def finish(self) -> None:
        """Until every message has come to its end; whoever ended is started again."""
        wait_until(self._finished, seconds=LONGEST_SECONDS, what="the end of the queue")

    def _finished(self) -> bool:
        self.deployments.supervise()
        time.sleep(0.5)
        return not Message.objects.exclude(state__in=FINAL_STATES).exists()


def cases() -> Iterator[Case]:
    yield from killed()
    yield from stopped()
    yield from two_hosts()
    yield from server_killed()


def killed() -> Iterator[Case]:
    with stage("kills") as run:
        sender = begin(run)
        chance = random.Random(1)
        for number in range(FAULTS):
            reach(run, number, jitter=chance.random())
            (sender.kill_worker if number % 2 else sender.kill_all)()
            sender.process.wait(END_SECONDS)
            time.sleep(READ_SECONDS)
            run.faults_at.append(time.time())  # what the server took until now came from before the kill
            run.deployments.supervise()
        run.finish()
        repeats = repeats_by_fault(run.sink.taken(), run.faults_at)
        yield from told(run, f"{FAULTS} kills", repeats=FAULTS * CONNECTIONS)
        most = max(repeats.values(), default=0)
        yield once(f"{FAULTS} kills: most repeats of one", "messages", most, at_most=CONNECTIONS)


def stopped() -> Iterator[Case]:
    with stage("stops") as run:
        sender = begin(run)
        chance = random.Random(2)
        codes, seconds = [], []
        for number in range(FAULTS):
            reach(run, number, jitter=chance.random())
            began = time.monotonic()
            codes.append(sender.stop())
            seconds.append(time.monotonic() - began)
            sender.start()
        run.finish()
        yield from told(run, f"{FAULTS} stops")
        yield once(f"{FAULTS} stops: not ended with 0", "stops", sum(code != 0 for code in codes), at_most=0)
        yield once(f"{FAULTS} stops: the longest", "s", max(seconds))


def two_hosts() -> Iterator[Case]:
    with stage("hosts") as run:
        began = time.monotonic()
        for host in ("host-a", "host-b"):
            run.deployments.begin("realtime", instance=host)
        run.finish()
        yield from told(run, "two hosts")
        yield once("two hosts: with starting", "messages/s", run.messages / (time.monotonic() - began))


def server_killed() -> Iterator[Case]:
    """PostgreSQL gets `kill -9`; its launcher starts it again, and it recovers."""
    with tempfile.TemporaryDirectory() as folder:
        own_server = ensure_running(Path(folder))
        slow = {"MAIL_CONNECTIONS": str(SLOW_CONNECTIONS)}
        with stage("server", server=own_server, delay=SLOW_DELAY, messages=SERVER_MESSAGES, **slow) as run:
            begin(run)
            wait_until(lambda: run.count() > 500, seconds=60, what="the first mails")
            waits = [resumes_after_server_kill(run) for _ in range(SERVER_KILLS)]
            connection.close()  # our own did not outlast the server
            run.finish()
            on_the_wire = SERVER_KILLS * SLOW_CONNECTIONS
            yield from told(run, f"PostgreSQL killed {SERVER_KILLS} times", repeats=on_the_wire)
            resumed = max(wait.since_back for wait in waits)
            yield once("PostgreSQL killed: sending again after", "s", resumed, at_most=RESUMED_SECONDS)
            yield once("PostgreSQL killed: it was away for", "s", max(wait.away for wait in waits))


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds that PostgreSQL was away, and from its return to the next mail."""

    away: float
    since_back: float


def resumes_after_server_kill(run: Stage) -> Wait:
    os.kill(postmaster(run.url), signal.SIGKILL)
    began = time.monotonic()
    wait_until(lambda: answers(run.url), seconds=60, what="PostgreSQL")
    back = time.monotonic()
    time.sleep(0.1)  # what was on the wire when it died is no sign of life
    before = run.count()
    wait_until(supervised(run, lambda: run.count() > before + SLOW_CONNECTIONS), seconds=60, what="another mail")
    resumed = time.monotonic()
    time.sleep(max(0.0, began + SERVER_EVERY_SECONDS - resumed))
    return Wait(back - began, resumed - back)


def supervised(run: Stage, true: Callable[[], bool]) -> Callable[[], bool]:
    def look() -> bool:
        run.deployments.supervise()
        return true()

    return look


def postmaster(url: str) -> int:
    with psycopg.connect(url) as server:
        row = server.execute("SHOW data_directory").fetchone()
    assert row is not None
    return int((Path(row[0]) / "postmaster.pid").read_text().splitlines()[0])


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def stage(
    name: str, *, server: str = "", delay: float = DELAY, messages: int = MESSAGES, **environment: str
) -> Iterator[Stage]:
    """All messages due, housekeeping running (it takes back what the dead had claimed), nobody sending yet."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = stack.enter_context(CountingSink(folder, delay=delay))
        database = stack.enter_context(throw_away(server or settings.DATABASE_URL, name, var=folder))
        database |= SETTINGS | {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(sink.port)} | environment
        stack.enter_context(used_here(database))
        deployments = stack.enter_context(Deployments(database, folder))
        prepared_make(messages, now=timezone.now())
        deployments.begin("housekeeping")
        yield Stage(sink, deployments, database["DATABASE_URL"], messages)


def begin(run: Stage) -> Deployment:
    return run.deployments.begin("realtime")


def reach(run: Stage, number: int, *, jitter: float) -> None:
    """Wait until the share of this fault has been taken, so that all faults fall into the run."""
    share = run.messages * 0.9 / FAULTS
    goal = share * (number + 0.2 + 0.6 * jitter)
    wait_until(supervised(run, lambda: run.count() >= goal), seconds=LONGEST_SECONDS, what="the next mails")


def told(run: Stage, name: str, *, repeats: int = 0) -> Iterator[Case]:
    """Nothing may be lost, and no more than that be repeated."""
    taken = Counter(each.message_id for each in run.sink.taken())
    sent = set(Message.objects.values_list("message_id", flat=True))
    yield once(f"{name}: lost of {run.messages}", "messages", len(sent - taken.keys()), at_most=0)
    yield once(f"{name}: repeated", "messages", taken.total() - len(taken), at_most=repeats)


def repeats_by_fault(taken: Sequence[Taken], faults_at: Sequence[float]) -> Counter[int]:
    """How often a Message-ID came again, by the first fault after it came the time before."""
    before: dict[str, float] = {}
    found: Counter[int] = Counter()
    for each in taken:
        if each.message_id in before:
            at = before[each.message_id]
            found[next((number for number, fault in enumerate(faults_at) if fault >= at), len(faults_at))] += 1
        before[each.message_id] = each.at
    return found


def once(case: str, unit: str, value: float, *, at_most: float | None = None) -> Case:
    return Case(case=case, unit=unit, ours=lambda: value, rounds=1, most=at_most)
