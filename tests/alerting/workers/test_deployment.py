"""Deployments of workers under real signals: nothing is lost, repeated, stalled or left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from alerting.management.commands.worker import DATABASE_AWAY
from alerting.models import Death, Message, Notification
from alerting.workers import deployment
from resilience.models import Heartbeat, Incident
from tests.alerting.workers.conftest import ROOT, Workers, wait_until
from tests.alerting.world import World
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
CONNECTIONS = 10  # of a sender, to each kind of channel


def make_subscriber() -> World:
    world = World()
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    return world


def make_alerts(count: int, *, world: World | None = None, first: int = 512000001) -> World:
    """Events of this moment for one subscriber, and the poke that the watch would send."""
    world = world or make_subscriber()
    now = timezone.now()
    for number in range(count):
        world.make_event(mmsi=first + number, occurred_at=now)
    poke()
    return world


def poke() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('watchkeeper_events', '')")


def alive(deployment: str = "realtime") -> bool:
    return Heartbeat.objects.filter(name=f"worker {deployment}").exists()


def test_an_event_leaves_as_a_mail_and_sigterm_is_clean(workers: Workers, smtp_server: SmtpServer) -> None:
    process = workers.start()
    assert wait_until(alive, 20), workers.logs()
    time.sleep(1)

    make_alerts(3)
    arrived = smtp_server.wait_for(3)
    process.send_signal(signal.SIGTERM)
    code = process.wait(15)

    assert arrived, workers.logs()
    assert code == 0, workers.logs()
    assert set(smtp_server.message_ids().values()) == {1}
    assert set(Notification.objects.values_list("state", flat=True)) == {"sent"}
    assert not workers.orphans()


def test_sigterm_while_sending_finishes_the_one_in_hand(workers: Workers, smtp_server: SmtpServer) -> None:
    smtp_server.delay = 0.3
    make_alerts(60)
    process = workers.start()
    assert smtp_server.wait_for(2), workers.logs()

    os.killpg(process.pid, signal.SIGTERM)  # to the whole group, as some supervisors do
    code = process.wait(15)

    sent = len(smtp_server.mails)
    assert code == 0, workers.logs()
    assert 2 <= sent < 60
    assert Message.objects.filter(state="sent").count() == sent
    assert Message.objects.filter(state="pending").count() == 60 - sent
    assert not workers.orphans()


def test_a_worker_killed_while_sending_repeats_at_most_what_its_connections_had_in_hand(
    workers: Workers, smtp_server: SmtpServer
) -> None:
    smtp_server.delay = 0.1
    make_alerts(12)
    process = workers.start()
    assert smtp_server.wait_for(3), workers.logs()

    workers.child(process, "worker").send_signal(signal.SIGKILL)
    code = process.wait(20)
    workers.start()  # nobody waits for the leases of a worker that was seen to die
    finished = wait_until(lambda: not Message.objects.exclude(state="sent").exists(), 30)

    repeats = sum(smtp_server.message_ids().values()) - 12
    assert code == 1, workers.logs()
    assert finished, workers.logs()
    assert len(smtp_server.message_ids()) == 12
    assert repeats <= CONNECTIONS
    assert Incident.objects.filter(kind="worker_died").exists()
    assert set(Death.objects.values_list("cause", "alone")) == {("its worker was killed by SIGKILL", False)}


def test_two_deployments_at_once_send_everything_once(workers: Workers, smtp_server: SmtpServer) -> None:
    smtp_server.delay = 0.02
    starting = [threading.Thread(target=workers.start) for _ in range(2)]
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join()

    make_alerts(60)
    arrived = smtp_server.wait_for(60, 30)
    wait_until(lambda: not Message.objects.exclude(state="sent").exists(), 10)

    assert arrived, workers.logs()
    assert len(smtp_server.message_ids()) == 60
    assert set(smtp_server.message_ids().values()) == {1}


def test_a_database_that_is_away_for_a_while_is_survived(workers: Workers, smtp_server: SmtpServer) -> None:
    workers.environment |= {"METRICS_HOST": "127.0.0.2", "METRICS_PORT": str(port := free_port())}
    process = workers.start()
    assert wait_until(alive, 20), workers.logs()
    world = make_alerts(5)
    assert smtp_server.wait_for(5), workers.logs()

    with database_away():
        time.sleep(4)
    make_alerts(5, world=world, first=512000100)
    arrived = smtp_server.wait_for(10, 10)
    wait_until(lambda: not Message.objects.exclude(state="sent").exists(), 5)

    assert arrived, workers.logs()
    assert process.poll() is None
    assert set(smtp_server.message_ids().values()) == {1}
    with urllib.request.urlopen(f"http://127.0.0.2:{port}/metrics", timeout=5) as answer:
        numbers = answer.read().decode()
    assert 'watchkeeper_messages_total{cadence="realtime",outcome="sent"} 10.0' in numbers


@contextmanager
def database_away() -> Iterator[None]:
    """All others' connections are cut, and no new one is let in."""
    name = connection.settings_dict["NAME"]
    parameters = connection.get_connection_params() | {"dbname": "postgres"}
    with psycopg.connect(**parameters, autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            mine = connection.connection.info.backend_pid
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s", [name, mine]
            )
            yield
        finally:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_a_poke_starts_a_cycle_and_none_waits_for_its_tick(workers: Workers, smtp_server: SmtpServer) -> None:
    world = make_alerts(1)
    workers.begin_faulty("seldom_ticks")  # one in ten minutes, the first at once
    assert smtp_server.wait_for(1, 40), workers.logs()

    for number in range(3):
        time.sleep(0.3)
        make_alerts(1, world=world, first=513000000 + number)
        assert smtp_server.wait_for(2 + number, 30), workers.logs()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_port_in_use_costs_the_metrics_and_no_mail(workers: Workers, smtp_server: SmtpServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = workers.start(METRICS_PORT=str(taken.getsockname()[1]))
        make_alerts(1)
        arrived = smtp_server.wait_for(1)
        process.send_signal(signal.SIGTERM)
        code = process.wait(15)

    assert arrived, workers.logs()
    assert code == 0, workers.logs()
    assert Incident.objects.filter(kind="metrics_not_served").exists()


def check(workers: Workers, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "manage.py", "worker", "housekeeping", "--check"],
        cwd=ROOT,
        env=workers.environment | environment,
        capture_output=True,
        check=False,
        text=True,
    )
    return done.returncode, done.stdout.strip()


def test_check_says_whether_this_deployment_lives_whatever_others_do(workers: Workers) -> None:
    workers.environment["WORKER_INSTANCE"] = "one"
    workers.start("housekeeping")
    lived = wait_until(lambda: alive("housekeeping"), 30)

    lives, other = check(workers), check(workers, WORKER_INSTANCE="two")
    workers.end()
    Heartbeat.objects.filter(name__endswith="one").update(at=timezone.now() - timedelta(minutes=2))
    silent = check(workers)

    assert lived, workers.logs()
    assert (lives[0], other, silent[0]) == (0, (1, "worker housekeeping at two: no sign of life yet"), 1)
    assert lives[1].startswith("worker housekeeping at one: last sign of life ")
    assert Heartbeat.objects.get(name="worker housekeeping").at > timezone.now() - timedelta(minutes=1)


def test_check_without_a_database_is_one_plain_line(workers: Workers) -> None:
    code, said = check(workers, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")

    assert code == DATABASE_AWAY
    assert "the database does not answer" in said
    assert "\n" not in said


def test_check_waits_for_a_database_that_says_nothing_for_some_seconds_only(workers: Workers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        code, said = check(workers, DATABASE_URL=f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x")

    assert code == DATABASE_AWAY
    assert "the database does not answer" in said
    assert time.monotonic() - began < 25


def test_the_numbers_of_two_deployments_of_a_kind_are_kept_apart(workers: Workers, tmp_path: Path) -> None:
    for instance in ("one", "a/b"):
        workers.start(METRICS_PORT=str(free_port()), WORKER_INSTANCE=instance)

    folders = {path.name for path in (tmp_path / "var/metrics").iterdir()}

    assert folders == {"worker-realtime-one", "worker-realtime-a_b"}


def test_a_death_seen_only_after_the_stop_it_began_is_no_stop_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = iter([False, True])
    monkeypatch.setattr(deployment, "is_broken", lambda: next(broken))
    monkeypatch.setattr(deployment, "stopping", lambda: True)
    living = Mock(**{"sentinel.is_alive.return_value": True})

    assert deployment._watch(living, Mock()) == "a child was killed, or nothing moved any more"


def test_a_start_that_fails_kills_what_was_started_before_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    for name in ("_end_within", "_kill", "incident_report", "flush"):
        monkeypatch.setattr(deployment, name, lambda *_, name=name, **__: did.append(name))

    code = deployment._not_started(Mock(), RuntimeError("the workers did not start"))

    assert (code, did) == (1, ["_end_within", "_kill", "incident_report", "flush"])
