"""Tells of a death: to the ledger, which counts it, and to operations, with the messages that were in hand."""

from __future__ import annotations

import os
from dataclasses import dataclass

import structlog
from django.utils import timezone
from django_q.conf import Conf

from alerting.workers.in_hand import messages_in_hand
from alerting.workers.reaping import accepted_known, claims_take_back
from resilience.incidents import incident_report
from resilience.ledger.book import FAULTS, Run, Unfinished, death_record
from resilience.ledger.causes import signal_name
from resilience.ledger.keeper import in_hand_words
from resilience.ledger.models import Cause

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Dead:
    """A process of this deployment, and why it ended."""

    pid: int
    role: str
    cause: Cause
    exit_code: int | None
    step: str = ""


def death_tell(run: Run, dead: Dead) -> None:
    """One incident for each deployment, role and cause; repeats are counted on it. Never raises."""
    recorded = _record(run, dead)
    unfinished = recorded or []
    name = run.process_name(dead.pid)
    # first, for what was accepted is in hand no more; a database that is away is not waited for twice
    known = recorded is not None and accepted_known(worker=name)
    messages = messages_in_hand([name]) if unfinished or dead.step else []
    words = in_hand_words(unfinished, messages)
    how = f" ({said})" if (said := signal_name(dead.exit_code)) and dead.cause is Cause.SIGNAL else ""
    if messages and known:
        cause = f"its worker was {dead.cause.label}{how}"
        claims_take_back(worker=name, cause=cause, now=timezone.now())
    at_step = f" Its step: {dead.step}." if dead.step else ""
    incident_report(
        kind="worker_died",
        summary=f"A {dead.role} process of “{Conf.CLUSTER_NAME}” was {dead.cause.label}{how}. {words}{at_step}",
        severity="critical",
        fingerprint=f"worker_died:{Conf.CLUSTER_NAME}:{dead.role}:{dead.cause.value}",
        details={
            "deployment": Conf.CLUSTER_NAME,
            "instance": run.instance,
            "role": dead.role,
            "cause": dead.cause.value,
            "exit_code": dead.exit_code,
            "pid": dead.pid,
            "step": dead.step,
            "unfinished": [work.told() for work in unfinished],
            "messages": messages,
        },
    )


def _record(run: Run, dead: Dead) -> list[Unfinished] | None:
    """None where the database does not answer."""
    try:
        return death_record(
            run, pid=dead.pid, role=dead.role, cause=dead.cause, exit_code=dead.exit_code, step=dead.step
        )
    except FAULTS as fault:
        log.warning("death_not_recorded", error=str(fault))
        return None


def stall_tell(run: Run, why: str) -> None:
    """Nothing moves any more though nobody died. Never raises."""
    _record(run, Dead(os.getpid(), "deployment", Cause.STALL, None))
    incident_report(
        kind="worker_stalled",
        summary=f"The deployment “{Conf.CLUSTER_NAME}” at {run.instance} stands still: {why}.",
        severity="critical",
        fingerprint=f"worker_stalled:{Conf.CLUSTER_NAME}",
        details={"deployment": Conf.CLUSTER_NAME, "instance": run.instance, "why": why},
    )
