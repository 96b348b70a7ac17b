"""What the sentinel takes for a standstill, without a deployment."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator
from multiprocessing import Event
from types import SimpleNamespace

import pytest
from django.utils import timezone

from alerting.workers.pulse import Stillness
from alerting.workers.sentinel import ReportingSentinel
from resilience.ledger.book import Run
from tests.alerting.workers.conftest import wait_until


@pytest.fixture
def sentinel() -> Iterator[ReportingSentinel]:
    """One that was not started, whose workers are idle while a cycle waits. It sets the signals of its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    run = Run(part="worker realtime", instance="here", began_at=timezone.now())
    sentinel = ReportingSentinel(run, Event(), Event(), uuid.uuid4(), SimpleNamespace(), 60, False)
    ended = SimpleNamespace(stillness=Stillness(lambda: 0, now=time.monotonic()), is_alive=lambda: False)
    sentinel.monitor = sentinel.pusher = ended
    sentinel._feeder = Stillness(time.monotonic, now=time.monotonic())
    sentinel.task_queue.put("a cycle")
    assert wait_until(sentinel.task_queue.full, 5)
    yield sentinel
    sentinel.task_queue.get(timeout=5)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_cycle_that_no_worker_takes_is_a_standstill_after_some_seconds(sentinel: ReportingSentinel) -> None:
    now = time.monotonic()

    looks = [sentinel._stall(now + 0.5 * number) for number in range(1, 14)]

    assert looks[:9] == [""] * 9
    assert looks[-1] == "a cycle waits and no worker takes it"


def test_a_pause_of_the_whole_deployment_while_a_cycle_waits_is_none(sentinel: ReportingSentinel) -> None:
    now = time.monotonic()
    sentinel._stall(now + 0.5)

    after_an_hour = [sentinel._stall(now + 3600.0), sentinel._stall(now + 3600.5)]

    assert after_an_hour == ["", ""]


def test_a_worker_that_stands_still_is_named_though_its_cycle_waited_first(sentinel: ReportingSentinel) -> None:
    now = time.monotonic()
    sentinel._stall(now + 0.5)
    beats = [1.0]
    timer = SimpleNamespace(get_obj=lambda: SimpleNamespace(value=-1))
    stopped = SimpleNamespace(
        stillness=Stillness(lambda: beats[0], now=now + 0.5), is_alive=lambda: True, timer=timer, pid=1
    )
    sentinel.pool.append(stopped)
    beats[0] = 2.0  # its last

    looks = [sentinel._stall(now + 0.5 * number) for number in range(2, 12)]

    assert looks[:8] == [""] * 8
    assert next(filter(None, looks)) == "its worker does not run"
