"""Cycles that do to their worker what no cycle should: noticed, named, counted, and never a stall."""

from __future__ import annotations

import json
import time

import pytest

from resilience import incidents
from resilience.models import Heartbeat, Incident, WorkerDeath
from tests.alerting.workers.conftest import Workers, wait_until
from tests.alerting.workers.test_deployment import make_alerts
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def deaths() -> dict[str, tuple[str, str, str]]:
    """By instance: role, cause, what it was doing."""
    return {
        death.instance: (death.role, death.cause, death.doing) for death in WorkerDeath.objects.order_by("id").reverse()
    }


def beats(instance: str) -> bool:
    return Heartbeat.objects.filter(name=f"worker realtime at {instance}").exists()


def test_a_crash_is_named_by_its_cause_and_ends_the_deployment(workers: Workers) -> None:
    faults = ("killed", "out_of_memory", "segmentation_fault")
    processes = [workers.begin_faulty(fault) for fault in faults]

    codes = [process.wait(40) for process in processes]
    incidents.flush(3.0)

    assert codes == [1, 1, 1], workers.logs()
    assert deaths() == {fault: ("worker", fault, "realtime: matching") for fault in faults}
    told = Incident.objects.filter(kind="worker_died")
    assert {incident.sample["cause"] for incident in told} == set(faults)
    assert not workers.orphans()


def test_a_cycle_beyond_its_time_is_cut_off_and_one_that_swallows_this_is_killed(workers: Workers) -> None:
    short = {"FAULTY_Q_CLUSTER": json.dumps({"timeout": 2})}
    hang, swallow = workers.begin_faulty("hang", **short), workers.begin_faulty("swallow", **short)

    code = swallow.wait(40)
    told = wait_until(lambda: len(deaths()) == 2, 10)

    assert told, workers.logs()
    assert (code, hang.poll()) == (1, None)
    assert {cause for _, cause, _ in deaths().values()} == {"timeout"}


def test_a_worker_that_exits_is_told_and_replaced(workers: Workers, smtp_server: SmtpServer) -> None:
    process = workers.begin_faulty("exit")
    assert wait_until(lambda: "exit" in deaths(), 40), workers.logs()

    make_alerts(1)

    assert smtp_server.wait_for(1), workers.logs()
    assert deaths() == {"exit": ("worker", "exit", "realtime: matching")}
    assert process.poll() is None


def test_memory_beyond_its_limit_is_an_ordinary_failure(workers: Workers, smtp_server: SmtpServer) -> None:
    process = workers.begin_faulty("memory", WORKER_MEMORY_MB="1000")
    told = wait_until(lambda: Incident.objects.filter(kind="matching_failed").exists(), 40)

    make_alerts(1)

    assert told, workers.logs()
    assert smtp_server.wait_for(1), workers.logs()
    assert "MemoryError" in Incident.objects.get(kind="matching_failed").traceback
    assert process.poll() is None
    assert deaths() == {}


def test_workers_recycled_and_stopped_are_no_deaths(workers: Workers) -> None:
    process = workers.begin_faulty(
        "hang", FAULTY_FILE="/nowhere", FAULTY_Q_CLUSTER=json.dumps({"recycle": 1}), LOG_LEVEL="INFO"
    )
    assert wait_until(lambda: beats("hang"), 40), workers.logs()
    first = workers.child(process, "worker").pid

    recycled = wait_until(lambda: workers.child(process, "worker").pid != first, 15)
    time.sleep(0.5)
    process.terminate()
    code = process.wait(15)

    assert recycled, workers.logs()
    assert code == 0, workers.logs()
    assert deaths() == {}
    assert not Incident.objects.exists()


def test_processes_that_end_as_soon_as_they_start_end_the_deployment(workers: Workers) -> None:
    process = workers.begin_faulty("feeder")

    code = process.wait(40)

    assert code == 1, workers.logs()
    assert wait_until(lambda: Incident.objects.filter(kind="worker_stalled").exists(), 3)
    assert not workers.orphans()
