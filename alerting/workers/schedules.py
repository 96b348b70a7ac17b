"""Schedules made in django-q2's admin pages, run from housekeeping rather than from the sentinel.

django-q2 reads all of them in one transaction, and where it stumbles over one it logs that and runs none. Only itself
knows over what it can stumble, so its log is listened to: the one that it was at is set aside, and the others run.
"""

from __future__ import annotations

import logging
import traceback
from datetime import datetime

from django.db.utils import InterfaceError, OperationalError
from django_q.conf import logger
from django_q.models import Schedule
from django_q.scheduler import scheduler

from resilience.incidents import incident_report


def schedules_step(*, now: datetime) -> int:
    """Queues what is due; returns how many were set aside. Raises what is no schedule's fault."""
    due: int = Schedule.objects.exclude(repeats=0).filter(next_run__lt=now).count()
    for set_aside in range(due):
        fault = _run()
        if fault is None:
            return set_aside
        _set_aside(_schedule_of(fault), fault)
    return due


def _run() -> BaseException | None:
    """What django-q2 stumbled on, which it swallows."""
    heard = _Faults()
    logger.addFilter(heard)
    try:
        scheduler()
    finally:
        logger.removeFilter(heard)
    return heard.fault


class _Faults(logging.Filter):
    """Keeps the last exception that was logged, and lets none through: it is told here, with its schedule."""

    fault: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            self.fault = record.exc_info[1]
        return not record.exc_info


def _schedule_of(fault: BaseException) -> Schedule:
    """The one that django-q2's loop was at."""
    if not isinstance(fault, OperationalError | InterfaceError):
        for frame, _ in traceback.walk_tb(fault.__traceback__):
            schedule = frame.f_locals.get("s") if frame.f_code is scheduler.__code__ else None
            if isinstance(schedule, Schedule):
                return schedule
    raise fault


def _set_aside(schedule: Schedule, fault: BaseException) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(repeats=0)
    incident_report(
        kind="schedule_set_aside",
        summary=f"Schedule {schedule.pk} ({schedule.func}) cannot be read. Its repeats are 0 until it is mended.",
        fingerprint=f"schedule_set_aside:{schedule.pk}",
        error=fault,
        details={"schedule": schedule.pk, "func": schedule.func},
    )
