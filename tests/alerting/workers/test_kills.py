"""Every process of a deployment killed or stopped: it ends within 15 seconds, says so, and leaves nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import psutil
import psycopg
import pytest

from alerting.models import Message
from resilience import incidents
from resilience.models import DeploymentRun, Incident, WorkerDeath, WorkInHand
from tests.alerting.workers.conftest import Workers, wait_until
from tests.alerting.workers.test_deployment import alive, make_alerts
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

PROMISED_SECONDS = 15.0
# The server takes longer than a test: what happens meanwhile happens in the middle of a send.
LONG_SENDS = {"SEND_DEADLINE_SECONDS": "50", "LEASE_SECONDS": "120"}


def start_one_of_each(workers: Workers) -> list[subprocess.Popen[bytes]]:
    names = ("realtime", "digest", "housekeeping")
    processes = [workers.begin(name) for name in names]
    assert wait_until(lambda: all(alive(name) for name in names), 40), workers.logs()
    assert wait_until(lambda: all(len(workers.children(process)) >= 4 for process in processes), 10)
    assert wait_until(lambda: DeploymentRun.objects.count() == 3, 10)
    assert wait_until(lambda: not WorkInHand.objects.exists(), 10)  # all are idle between two ticks
    return processes


def ends(processes: list[subprocess.Popen[bytes]]) -> list[tuple[int, bool]]:
    """Exit codes, and whether they came in time."""
    began = time.monotonic()
    codes = [process.wait(40) for process in processes]
    return [(code, time.monotonic() - began < PROMISED_SECONDS) for code in codes]


def sentinel(process: subprocess.Popen[bytes]) -> psutil.Process:
    return psutil.Process(process.pid).children()[0]


def deaths() -> set[tuple[str, str, str]]:
    incidents.flush(3.0)
    return set(WorkerDeath.objects.values_list("part", "role", "cause"))


def test_any_idle_process_killed_ends_its_deployment_instead_of_stalling_it(workers: Workers) -> None:
    realtime, digest, housekeeping = start_one_of_each(workers)

    workers.child(realtime, "worker").send_signal(signal.SIGKILL)
    workers.child(digest, "monitor").send_signal(signal.SIGKILL)
    workers.child(housekeeping, "pusher").send_signal(signal.SIGKILL)

    assert ends([realtime, digest, housekeeping]) == [(1, True)] * 3, workers.logs()
    assert not workers.orphans()
    assert deaths() == {
        ("worker realtime", "worker", "killed"),
        ("worker digest", "monitor", "killed"),
        ("worker housekeeping", "pusher", "killed"),
    }
    assert Incident.objects.filter(kind="worker_died").count() == 3
    assert not DeploymentRun.objects.exists()


def test_any_process_that_stands_still_ends_its_deployment(workers: Workers) -> None:
    realtime, digest, housekeeping = start_one_of_each(workers)

    workers.child(realtime, "monitor").send_signal(signal.SIGSTOP)
    workers.child(digest, "pusher").send_signal(signal.SIGSTOP)
    sentinel(housekeeping).send_signal(signal.SIGSTOP)

    assert ends([realtime, digest, housekeeping]) == [(1, True)] * 3, workers.logs()
    assert not workers.orphans()
    assert {cause for _, _, cause in deaths()} >= {"stall"}


def test_a_worker_that_stands_still_ends_its_deployment_in_idleness_and_amid_its_work(
    workers: Workers, smtp_server: SmtpServer
) -> None:
    smtp_server.delay = 60
    make_alerts(1)
    busy, idle = workers.start(**LONG_SENDS), workers.start("digest")
    assert wait_until(lambda: smtp_server.ports, 20), workers.logs()

    workers.child(busy, "worker").send_signal(signal.SIGSTOP)
    workers.child(idle, "worker").send_signal(signal.SIGSTOP)

    assert ends([busy, idle]) == [(1, True)] * 2, workers.logs()
    assert not workers.orphans()
    assert {(part, cause) for part, _, cause in deaths()} >= {("worker realtime", "stall"), ("worker digest", "stall")}
    told = Incident.objects.filter(kind="worker_stalled").values_list("summary", flat=True)
    assert len([summary for summary in told if "its worker does not run" in summary]) == 2


def test_the_sentinel_killed_while_sending_ends_the_deployment(workers: Workers, smtp_server: SmtpServer) -> None:
    smtp_server.delay = 0.3
    make_alerts(20)
    process = workers.start()
    assert smtp_server.wait_for(2), workers.logs()

    sentinel(process).send_signal(signal.SIGKILL)

    assert ends([process]) == [(1, True)], workers.logs()
    assert not workers.orphans()
    assert ("worker realtime", "sentinel", "killed") in deaths()
    assert ("worker realtime", "worker", "forced") in deaths()
    assert not WorkInHand.objects.exists()


def test_the_main_process_killed_leaves_no_orphan_and_is_reported_at_the_next_start(
    workers: Workers, smtp_server: SmtpServer
) -> None:
    smtp_server.delay = 0.5
    make_alerts(20)
    process = workers.start()
    assert smtp_server.wait_for(1), workers.logs()
    assert wait_until(lambda: DeploymentRun.objects.exists() and WorkInHand.objects.exists(), 5)

    process.kill()
    process.wait()
    gone = wait_until(lambda: not workers.orphans(), 5)
    workers.start("housekeeping")
    told = wait_until(lambda: Incident.objects.filter(kind="worker_unclean_shutdown").exists(), 15)

    assert gone
    assert told, workers.logs()
    incident = Incident.objects.get(kind="worker_unclean_shutdown")
    assert incident.sample["messages"], incident.sample
    assert [work["doing"] for work in incident.sample["unfinished"]] == ["realtime"]
    assert deaths() == {("worker realtime", "deployment", "unclean_shutdown")}


def test_a_second_sigterm_ends_at_once_without_orphans(workers: Workers, smtp_server: SmtpServer) -> None:
    smtp_server.delay = 20
    make_alerts(40)
    process = workers.start()
    assert wait_until(lambda: WorkInHand.objects.exists(), 20), workers.logs()
    time.sleep(1)

    began = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGTERM)
    code = process.wait(20)

    assert code == 1, workers.logs()
    assert time.monotonic() - began < 10
    assert wait_until(lambda: not workers.orphans(), 2)
    assert not DeploymentRun.objects.exists()


def test_a_main_process_that_stumbles_ends_its_deployment_and_says_why(workers: Workers) -> None:
    process = workers.begin_faulty("main")
    time.sleep(1)
    workers.children(process)

    assert ends([process]) == [(1, True)], workers.logs()
    assert wait_until(lambda: not workers.orphans(), 2)
    assert "it stumbles whenever it starts" in Incident.objects.get(kind="worker_deployment_failed").traceback
    assert not DeploymentRun.objects.exists()


def test_a_worker_killed_while_its_deployment_stops_is_named_and_holds_nobody_up(
    workers: Workers, smtp_server: SmtpServer
) -> None:
    smtp_server.delay = 60
    make_alerts(3)
    process = workers.start(**LONG_SENDS)
    assert wait_until(lambda: smtp_server.ports, 20), workers.logs()
    worker = workers.child(process, "worker")

    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    worker.send_signal(signal.SIGKILL)

    assert ends([process]) == [(1, True)], workers.logs()  # a stop that waits for the message would take 50 s
    assert deaths() == {("worker realtime", "worker", "killed")}
    assert Incident.objects.filter(kind="worker_died").exists()


def fill(pipe: int) -> None:
    """As far as the last byte: whoever writes next waits."""
    os.set_blocking(pipe, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(pipe, b"x" * size)
        except BlockingIOError:
            continue
    os.set_blocking(pipe, True)


def test_a_log_that_nobody_reads_keeps_no_deployment_from_stopping(workers: Workers) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    process = workers.begin("digest", log=writer)
    assert wait_until(lambda: drained(reader) and alive("digest"), 40)
    assert wait_until(lambda: drained(reader) and len(workers.children(process)) >= 4, 10)
    time.sleep(1)
    fill(writer)

    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)

    assert ends([process]) == [(1, True)]
    assert wait_until(lambda: not workers.orphans(), 2)


def drained(pipe: int) -> bool:
    try:
        while os.read(pipe, 65536):
            continue
    except BlockingIOError:
        return True
    return True


@pytest.mark.parametrize("killed", ["worker", "all"])
def test_what_was_accepted_before_a_kill_is_not_sent_again(
    killed: str, workers: Workers, smtp_server: SmtpServer
) -> None:
    """The database takes no outcome: each connection has two accepted messages that only the journal knows."""
    connections, settings = 3, {"MAIL_CONNECTIONS": "3", "LEASE_SECONDS": "8"}
    make_alerts(20)
    with psycopg.connect(workers.environment["DATABASE_URL"]) as blocker:
        blocker.execute("LOCK TABLE alerting_attempt IN SHARE MODE")
        process = workers.start(**settings)
        assert smtp_server.wait_for(2 * connections), workers.logs()
        time.sleep(0.5)  # no connection goes further
        assert len(smtp_server.mails) == 2 * connections

        everyone = [psutil.Process(process.pid), *workers.children(process)]
        for each in [workers.child(process, "worker")] if killed == "worker" else everyone:
            each.kill()
    process.wait(40)
    workers.start(**settings)
    workers.start("housekeeping")

    assert wait_until(lambda: not Message.objects.exclude(state="sent").exists(), 60), workers.logs()
    assert set(smtp_server.message_ids().values()) == {1}
    assert any("acceptances_recovered" in log.read_text() for log in workers.folder.glob("*.log"))
