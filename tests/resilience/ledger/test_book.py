"""What a run leaves unfinished is found once, by whoever looks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from resilience import incidents
from resilience.ledger import memory
from resilience.ledger.book import Run, deaths_count, run_end, run_seen, runs_unclean, work_in_hand
from resilience.ledger.keeper import WORKER_DEATHS, RunKeeper
from resilience.ledger.models import Cause, DeploymentRun, WorkerDeath, WorkInHand
from resilience.ledger.place import place_here
from resilience.models import Incident

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_run(*, instance: str = "a", pid: int | None = None) -> Run:
    return Run(part="worker realtime", instance=instance, began_at=NOON, place=place_here(pid))


def dead_run(instance: str = "a") -> Run:
    """Of a process that has ended without a word."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = make_run(instance=instance, pid=process.pid)
    run_seen(run)
    process.kill()
    process.communicate()
    return run


def test_work_that_ends_leaves_nothing_also_when_it_fails() -> None:
    run = make_run()
    with work_in_hand(run, "send_cycle", now=NOON):
        during = WorkInHand.objects.get()
    with pytest.raises(ZeroDivisionError), work_in_hand(run, "send_cycle", now=NOON):
        raise ZeroDivisionError

    assert (during.run, during.pid, during.doing) == (run.id, os.getpid(), "send_cycle")
    assert not WorkInHand.objects.exists()


def test_work_that_ends_with_its_process_stays() -> None:
    with pytest.raises(SystemExit), work_in_hand(make_run(), "send_cycle", now=NOON):
        raise SystemExit

    assert WorkInHand.objects.count() == 1


def test_a_clean_end_leaves_no_row_and_is_no_death() -> None:
    run = make_run()
    run_seen(run)

    run_end(run)

    assert not DeploymentRun.objects.exists()
    assert runs_unclean(make_run()) == []
    assert not WorkerDeath.objects.exists()


def test_a_run_whose_process_is_gone_is_told_once_with_what_it_had_in_hand() -> None:
    gone = dead_run()
    WorkInHand.objects.create(run=gone.id, pid=17, doing="realtime", began_at=NOON)
    mine = make_run(instance="b")
    run_seen(mine)

    (end,) = runs_unclean(mine)

    assert (end.part, end.instance, end.cause) == ("worker realtime", "a", Cause.UNCLEAN)
    assert [(work.pid, work.doing) for work in end.unfinished] == [(17, "realtime")]
    assert runs_unclean(mine) == []
    assert list(DeploymentRun.objects.values_list("instance", flat=True)) == ["b"]
    assert not WorkInHand.objects.exists()
    assert WorkerDeath.objects.get().doing == "realtime"


def test_processes_of_two_runs_have_two_names_though_host_and_pid_are_the_same() -> None:
    one, other = make_run(pid=17), make_run(pid=17)

    assert one.place == other.place
    assert one.process_name(17) != other.process_name(17)
    assert one.process_name(17).startswith(f"{one.place.host}:17:")


def test_the_name_of_a_process_fits_its_column_without_losing_what_makes_it_unique() -> None:
    one, other = (replace(run, place=replace(run.place, host="h" * 255)) for run in (make_run(), make_run()))

    names = {run.process_name(4_194_304) for run in (one, other)}

    assert len({name[:200] for name in names}) == 2
    assert max(map(len, names)) <= 200


def test_out_of_memory_is_named_by_the_counter_of_the_dead_ones_own_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "OWN_CGROUP", own := tmp_path / "own")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    for group in ("starved", "killed", "looker"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "memory.events").write_text("oom_kill 3")
        own.write_text(f"0::/{group}")
        if group != "looker":
            dead_run(instance=group)

    for group in ("starved", "looker"):
        (tmp_path / group / "memory.events").write_text("oom_kill 4")
    ends = runs_unclean(make_run())

    assert {end.instance: end.cause for end in ends} == {"starved": Cause.OUT_OF_MEMORY, "killed": Cause.UNCLEAN}


def test_a_run_elsewhere_is_gone_when_it_was_not_seen_for_a_minute() -> None:
    away = make_run(instance="away")
    run_seen(replace(away, place=replace(away.place, host="away")))
    mine = make_run(instance="b")

    early = runs_unclean(mine)
    DeploymentRun.objects.update(seen_at=timezone.now() - timedelta(seconds=61))
    late = runs_unclean(mine)

    assert (early, [end.host for end in late]) == ([], ["away"])


def test_a_living_run_on_this_machine_is_not_gone_however_long_it_is_silent() -> None:
    run_seen(make_run(instance="slow"))
    DeploymentRun.objects.update(seen_at=timezone.now() - timedelta(hours=1))

    assert runs_unclean(make_run(instance="b")) == []


def test_the_keeper_reports_counts_and_takes_it_back() -> None:
    gone = dead_run(instance=(name := uuid.uuid4().hex))
    WorkInHand.objects.create(run=gone.id, pid=17, doing="realtime", began_at=NOON)
    keeper = RunKeeper(
        make_run(instance=name), in_hand=lambda names: [41, 42] if list(names) == [gone.process_name(17)] else []
    )

    keeper.look()
    keeper.look()
    incidents.flush(3.0)
    incident = Incident.objects.get()
    RunKeeper(gone, in_hand=lambda names: []).look()  # new to the table: its first look clears nothing
    keeper_of_gone = RunKeeper(gone, in_hand=lambda names: [])
    keeper_of_gone.look()
    run_end(gone)
    keeper_of_gone.look()

    assert incident.kind == "worker_unclean_shutdown"
    assert "realtime" in incident.summary
    assert "41, 42" in incident.summary
    assert incident.sample["unfinished"][0]["pid"] == 17
    assert deaths_count(gone)["unclean_shutdown"] == 1
    assert WORKER_DEATHS.labels(deployment="worker realtime", cause="unclean_shutdown")._value.get() >= 1
    assert Incident.objects.get(pk=incident.pk).state == "resolved"


def test_a_keeper_whose_round_raises_anything_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []

    def look(self: RunKeeper) -> None:
        rounds.append(1)
        raise ValueError("no fault of a database")

    monkeypatch.setattr(RunKeeper, "look", look)
    monkeypatch.setattr("resilience.ledger.keeper.EVERY_SECONDS", 0.01)
    keeper = RunKeeper(make_run(), in_hand=lambda names: [])

    keeper.begin()
    time.sleep(0.3)
    keeper.end(seconds=2)

    assert len(rounds) > 2
