"""What is put into the workers' queue, and when."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from django_q.queues import Queue
from django_q.signals import post_execute, post_execute_in_worker, post_spawn, pre_execute

from alerting.workers import feeder as module
from alerting.workers.feeder import Feeder
from alerting.workers.names import DEPLOYMENTS, TICK_SECONDS, task_path

queued: list[dict[str, Any]] = []


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    queued.clear()
    monkeypatch.setattr(module, "queued_take", lambda name: queued.pop() if queued else None)
    return Queue(maxsize=1)


def taken(queue: Queue) -> Mapping[str, Any]:
    task: Mapping[str, Any] = queue.get(timeout=2)
    return task


def test_a_poke_and_a_tick_ask_for_a_cycle_and_nothing_else_does(queue: Queue) -> None:
    feeder = Feeder(queue, "realtime")

    feeder.feed(poked=False, now=100.0)
    first = taken(queue)
    feeder.feed(poked=False, now=100.5)
    idle = queue.full()
    feeder.feed(poked=True, now=100.6)

    assert first["func"] == task_path("realtime")
    assert not idle
    assert taken(queue)["func"] == task_path("realtime")
    assert feeder.seconds_left(100.6) == pytest.approx(TICK_SECONDS["realtime"] - 0.6)


def test_a_cycle_that_waits_is_enough_for_all_pokes(queue: Queue) -> None:
    feeder = Feeder(queue, "realtime")

    for _ in range(5):
        feeder.feed(poked=True, now=100.0)
    taken(queue)

    time.sleep(0.05)
    assert queue.empty()


def test_a_poke_behind_another_task_is_not_lost(queue: Queue) -> None:
    feeder = Feeder(queue, "housekeeping")
    feeder.feed(poked=False, now=100.0)
    taken(queue)
    queued.append({"func": "queued", "name": "queued"})
    feeder.feed(poked=False, now=106.0)  # a tick: the cycle goes first, the other task waits in its table
    taken(queue)
    feeder._cycle_waits = False
    queue.put({"func": "queued"})

    feeder.feed(poked=True, now=106.1)
    other = taken(queue)
    feeder.feed(poked=False, now=106.1 + feeder.seconds_left(106.1))

    assert other == {"func": "queued"}
    assert taken(queue)["func"] == task_path("housekeeping")
    assert len(queued) <= 1


def test_every_task_can_be_found_by_its_path() -> None:
    from pydoc import locate

    assert all(callable(locate(task_path(name))) for name in DEPLOYMENTS)


def test_nobody_listens_to_the_signals_whose_handlers_could_stop_a_task() -> None:
    assert [signal.receivers for signal in (pre_execute, post_execute_in_worker, post_execute, post_spawn)] == [[]] * 4
