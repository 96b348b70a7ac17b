"""The steps of housekeeping, each a function of `now` that is guarded by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from alerting.cycle.stale import stale_step, summary_step
from alerting.workers.delays import overdue_step, put_off_step
from alerting.workers.names import SILENT_AFTER
from alerting.workers.reaping import reap_step
from alerting.workers.schedules import schedules_step
from resilience.heartbeats import heartbeats_check, heartbeats_excuse, heartbeats_forget, instance_name
from resilience.models import DeploymentRun, WorkerDeath, WorkInHand
from resilience.poster import poster_step

log = structlog.get_logger(__name__)

_BEGAN = timezone.now()  # of this process: parts that never beat get their time to start
_CLEAN_EVERY = 3600.0
_last_clean = [0.0]


def housekeeping_steps() -> list[tuple[str, Callable[..., object]]]:
    """Named steps, in order."""
    return [
        ("reaping", reap_step),
        ("stale", stale_step),
        ("summaries", summary_step),
        ("heartbeats", heartbeat_step),
        ("overdue", overdue_step),
        ("put_off", put_off_step),
        ("incident_poster", lambda *, now: poster_step()),
        ("schedules", schedules_step),
        ("cleaning", cleaning_step),
    ]


def heartbeat_step(*, now: datetime) -> None:
    """A part that is silent is an incident (invariant 10), and so is one of two that do the same."""
    runs = DeploymentRun.objects.filter(began_at__lt=now - SILENT_AFTER)
    instances = {instance_name(run.part, run.instance): SILENT_AFTER for run in runs}
    heartbeats_check({**settings.EXPECTED_HEARTBEATS, **instances}, now=now, since=_BEGAN)
    heartbeats_excuse(but=instances, now=now)


def cleaning_step(*, now: datetime) -> None:
    """Sessions that ended, and what is known of deployments, deaths and work long ago, once an hour."""
    if now.timestamp() - _last_clean[0] >= _CLEAN_EVERY:
        _last_clean[0] = now.timestamp()
        call_command("clearsessions", verbosity=0)
        heartbeats_forget(before=now - timedelta(days=7))
        WorkerDeath.objects.filter(at__lt=now - timedelta(days=366)).delete()
        _forget_work(before=now - timedelta(days=1))


def _forget_work(*, before: datetime) -> None:
    """Of a run whose own row was never written, or is gone: nobody else would ever look at it."""
    runs = DeploymentRun.objects.values("id")
    WorkInHand.objects.filter(began_at__lt=before).exclude(run__in=runs).delete()
