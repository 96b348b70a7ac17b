"""A death takes back what the dead one had claimed, and nothing of another that looks like it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.conf import Conf

from alerting.cycle.context import worker_name
from alerting.cycle.journal import Journal
from alerting.cycle.queue import claim
from alerting.messages import message_new
from alerting.models import Death, Lease, Message, MessageKind, SendCycleRun
from alerting.workers import tasks, this_worker
from alerting.workers.deaths import Dead, death_tell
from alerting.workers.in_hand import messages_in_hand
from alerting.workers.journals import journals_folder
from resilience import incidents
from resilience.ledger.book import Run, run_seen, work_in_hand
from resilience.ledger.keeper import RunKeeper
from resilience.ledger.models import Cause, DeploymentRun
from resilience.ledger.place import place_here
from resilience.models import Incident
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db(transaction=True)
MARK = "shared-name"


@pytest.fixture(autouse=True)
def as_no_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_worker, "_run", [])
    monkeypatch.setattr(this_worker, "_step", [])
    monkeypatch.setattr(Conf, "CLUSTER_NAME", MARK)


@dataclass
class Container:
    """A deployment whose worker has this test's pid, in a container that shares its host's name with others."""

    namespace: int
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        place = replace(place_here(), host=MARK, pid_namespace=self.namespace)
        self.run = Run(part="worker realtime", instance=f"container {self.namespace}", began_at=NOW, place=place)

    def claims(self, limit: int) -> set[int]:
        """What its worker takes in the middle of a task."""
        this_worker.become(self.run, this_worker.step_place())
        taken = claim(
            rooms={"realtime:email": limit},
            now=NOW,
            lease=timedelta(minutes=2),
            worker=this_worker.this_worker_name(),
        )
        with pytest.raises(SystemExit), work_in_hand(self.run, "realtime", now=NOW):
            raise SystemExit
        return set(taken.message_ids)

    def dead(self) -> Dead:
        return Dead(os.getpid(), "worker", Cause.KILLED, -9)


@pytest.fixture
def waiting() -> World:
    world = World()
    channel = world.make_channel(world.make_user())
    Message.objects.bulk_create(
        message_new(organisation_id=world.organisation.pk, channel=channel, kind=MessageKind.TEST, due_at=NOW, now=NOW)
        for _ in range(5)
    )
    return world


def claimed() -> set[int]:
    return set(Lease.objects.values_list("pk", flat=True))


def incident() -> Incident:
    incidents.flush(3.0)
    return Incident.objects.get()


@pytest.mark.usefixtures("waiting")
def test_a_death_takes_nothing_from_a_container_with_the_same_host_name_and_pid() -> None:
    here, there = Container(1), Container(2)
    lost, kept = here.claims(2), there.claims(3)

    death_tell(here.run, here.dead())

    assert claimed() == kept
    assert set(incident().sample["messages"]) == lost
    assert set(Death.objects.values_list("message", "worker")) == {
        (key, here.run.process_name(os.getpid())) for key in lost
    }


@pytest.mark.usefixtures("waiting")
def test_claims_of_a_dead_worker_wait_while_it_is_not_known_what_was_accepted() -> None:
    here = Container(1)
    lost = here.claims(2)
    journal = Journal(journals_folder(), here.run.process_name(os.getpid()), pages=1)
    journal.pages()  # it is held still

    death_tell(here.run, here.dead())
    waits = claimed()
    journal.leave()
    death_tell(here.run, replace(here.dead(), step="send_cycle"))

    assert waits == lost
    assert claimed() == set()


@pytest.mark.usefixtures("waiting")
def test_a_deployment_that_is_gone_is_told_with_its_own_claims_only() -> None:
    gone, alive = Container(1), Container(2)
    lost, kept = gone.claims(2), alive.claims(3)
    run_seen(gone.run)
    DeploymentRun.objects.update(seen_at=timezone.now() - timedelta(seconds=61))

    RunKeeper(alive.run, in_hand=messages_in_hand).look()

    assert set(incident().sample["messages"]) == lost
    assert claimed() == lost | kept  # it may be alive where nobody hears of it: its leases end


def test_the_cycles_of_a_deployment_go_by_the_name_under_which_their_claims_are_found(waiting: World) -> None:
    run = Container(1).run
    this_worker.become(run, this_worker.step_place())

    tasks.realtime()

    assert set(SendCycleRun.objects.values_list("worker", flat=True)) == {run.process_name(os.getpid())}


def test_outside_a_deployment_each_start_of_a_process_has_a_name_of_its_own() -> None:
    script = "from alerting.cycle import context; context.os.getpid = lambda: 17; print(context.worker_name())"
    setup = "import django; django.setup(); "

    names = [
        subprocess.run(
            [sys.executable, "-c", setup + script],
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for _ in range(2)
    ]

    assert names[0] != names[1]
    assert all(re.fullmatch(r"[^:]+:17:[0-9a-f]{32}", name) for name in names)
    assert worker_name() == worker_name()
