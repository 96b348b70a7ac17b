"""Tasks and schedules from django-q2's admin pages: one that is bad stops nothing."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest
from django.db.utils import OperationalError
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from alerting.workers.queued import queued_take
from alerting.workers.schedules import schedules_step
from resilience import incidents
from resilience.models import Incident

pytestmark = pytest.mark.django_db(transaction=True)


class Gone:
    """Pickled by a version that knew a value which this one does not know."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("a name that is gone",)


def test_a_task_is_taken_away_before_it_runs() -> None:
    async_task("os.abort", cluster="housekeeping")

    task = queued_take("housekeeping")

    assert task is not None
    assert task["func"] == "os.abort"
    assert not OrmQ.objects.exists()
    assert queued_take("housekeeping") is None


def test_a_task_of_another_deployment_is_left_to_it() -> None:
    async_task("os.getpid", cluster="realtime")

    assert queued_take("housekeeping") is None
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize("payload", ["nonsense", SignedPackage.dumps("x")[:-3]])
def test_a_payload_that_cannot_be_read_is_dropped_and_told(payload: str) -> None:
    OrmQ.objects.create(key="housekeeping", payload=payload, lock=timezone.now())

    assert queued_take("housekeeping") is None

    incidents.flush(3.0)
    assert not OrmQ.objects.exists()
    assert Incident.objects.get().kind == "queued_task_unreadable"


def test_a_payload_that_no_longer_unpickles_is_dropped_and_told() -> None:
    with pytest.raises(ValueError):
        pickle.loads(pickle.dumps(Gone()))
    OrmQ.objects.create(key="housekeeping", payload=SignedPackage.dumps(Gone()), lock=timezone.now())

    assert queued_take("housekeeping") is None
    assert not OrmQ.objects.exists()


def test_a_schedule_that_cannot_be_read_is_set_aside_and_the_others_run() -> None:
    assert_only_the_other_runs(args="(")


def assert_only_the_other_runs(**wrong: object) -> None:
    past = timezone.now() - timedelta(minutes=1)
    daily = {"schedule_type": Schedule.DAILY, "next_run": past}
    bad = Schedule(func="os.getpid", **{**daily, **wrong})
    Schedule.objects.bulk_create([bad])  # as old rows and other programs' are: unchecked
    good = Schedule.objects.create(func="os.getpid", **daily)

    set_aside = schedules_step(now=timezone.now())

    bad.refresh_from_db()
    good.refresh_from_db()
    incidents.flush(3.0)
    assert (set_aside, bad.repeats) == (1, 0)
    assert good.next_run > timezone.now()
    assert OrmQ.objects.count() == 1
    assert Incident.objects.get().kind == "schedule_set_aside"


@pytest.mark.parametrize("kwargs", ["5", "[1]", "{1: 2}", "{'q_options': 3}", "{[]: 1}", "a=1) + (2", "**{'a': 1}"])
def test_a_schedule_with_bad_keyword_arguments_is_set_aside_and_the_others_run(kwargs: str) -> None:
    assert_only_the_other_runs(kwargs=kwargs)


def test_a_schedule_with_options_that_only_queueing_shows_to_be_wrong_is_set_aside_too() -> None:
    assert_only_the_other_runs(kwargs="{'q_options': {'cluster': 'elsewhere', 'broker': 3}}")


def test_keyword_arguments_that_django_q2_reads_are_no_fault() -> None:
    past = timezone.now() - timedelta(minutes=1)
    for kwargs in ("{'a': 1}", "a=1, b='two'", "{'q_options': {'group': 'g'}}", "not readable at all"):
        Schedule.objects.create(func="os.getpid", kwargs=kwargs, schedule_type=Schedule.DAILY, next_run=past)
    elsewhere = Schedule.objects.create(
        func="os.getpid", cluster="realtime", schedule_type=Schedule.DAILY, next_run=past
    )

    assert schedules_step(now=timezone.now()) == 0

    elsewhere.refresh_from_db()
    assert OrmQ.objects.count() == 4
    assert elsewhere.repeats == -1


def test_a_database_that_goes_away_meanwhile_sets_no_schedule_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr("django_q.scheduler.async_task", away)
    past = timezone.now() - timedelta(minutes=1)
    schedule = Schedule.objects.create(func="os.getpid", schedule_type=Schedule.DAILY, next_run=past)

    with pytest.raises(OperationalError):
        schedules_step(now=timezone.now())

    schedule.refresh_from_db()
    assert schedule.repeats == -1
