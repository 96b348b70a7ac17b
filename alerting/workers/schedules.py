"""Schedules made in django-q2's admin pages, run from housekeeping rather than from the sentinel.

django-q2 reads all of them in one transaction: one that cannot be read would stop all. Such a one is set aside first.
"""

from __future__ import annotations

import ast
from datetime import datetime

from django_q.models import Schedule
from django_q.scheduler import scheduler

from resilience.incidents import incident_report


def schedules_step(*, now: datetime) -> int:
    """Queues what is due; returns how many were set aside."""
    due = Schedule.objects.exclude(repeats=0).filter(next_run__lt=now)
    bad = [(schedule, fault) for schedule in due if (fault := _fault(schedule)) is not None]
    for schedule, fault in bad:
        _set_aside(schedule, fault)
    if len(bad) < len(due):
        scheduler()
    return len(bad)


def _fault(schedule: Schedule) -> Exception | None:
    """What django-q2 would stumble on."""
    try:
        if schedule.args:
            ast.literal_eval(schedule.args)
        if schedule.schedule_type != Schedule.ONCE:
            schedule.calculate_next_run(schedule.next_run)
    except Exception as error:
        return error
    return None


def _set_aside(schedule: Schedule, fault: Exception) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(repeats=0)
    incident_report(
        kind="schedule_set_aside",
        summary=f"Schedule {schedule.pk} ({schedule.func}) cannot be read. Its repeats are 0 until it is mended.",
        fingerprint=f"schedule_set_aside:{schedule.pk}",
        error=fault,
        details={"schedule": schedule.pk, "func": schedule.func},
    )
