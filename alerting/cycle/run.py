"""A send cycle: claim, load, re-check, render, send, record, until nothing is due or somebody says stop.

The order matters:
1. claim a batch by lease and token;
2. load all it needs in bulk; a look-up that fails ends the cycle loudly and gives the batch back;
3. re-check and render each message by itself; keep the words before they leave;
4. send on open connections, each with one message at a time, without touching the database; no transaction is open;
5. one recorder commits outcomes in groups; a connection goes on when its last would survive this process;
6. give back what was not started.
While the senders work on one batch, the next one is prepared: claimed when so much of what is in hand has left that a
connection may soon have nothing to do. `rounds` says what is claimed when.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import close_old_connections
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from alerting.cycle.context import CycleContext
from alerting.cycle.counts import CYCLES, Counts
from alerting.cycle.load import LookUpFailed
from alerting.cycle.rounds import Rounds, give_back_owed
from alerting.models import SendCycleRun

log = structlog.get_logger(__name__)


def send_cycle(context: CycleContext) -> Counts:
    """One guarded pass. Never raises an `Exception`: what goes wrong is an incident, and the next cycle tries again."""
    started_at, began = context.clock(), context.monotonic()
    counts, error = Counts(), ""
    close_old_connections()
    try:
        context.beat()
        give_back_owed()
        error = Rounds(context, counts, until=began + context.budget).run()
    except LookUpFailed as fault:
        error = str(fault)
        log.exception(fault.event, cadence=context.cadence, error=f"{fault}: {fault.cause}")
    except DatabaseFault as fault:
        error = f"The database was lost: {fault}"
        log.exception("send_cycle_lost_the_database", cadence=context.cadence, error=str(fault))
    except Exception as fault:
        error = f"{type(fault).__name__}: {fault}"
        log.exception("panic_in_send_cycle", cadence=context.cadence, error=error)
    _finish(context, counts, started_at=started_at, error=error, seconds=context.monotonic() - began)
    return counts


def _finish(context: CycleContext, counts: Counts, *, started_at: datetime, error: str, seconds: float) -> None:
    """Say what came of it: a log line, metrics, a row when there is something to tell, a sign of life."""
    CYCLES.labels(cadence=context.cadence, outcome="error" if error else "completed").inc()
    told = log.info if error or counts.did_something() else log.debug
    told("send_cycle_completed", cadence=context.cadence, seconds=round(seconds, 3), error=error, **counts.as_dict())
    try:
        if error or counts.did_something():
            SendCycleRun.objects.create(
                cadence=context.cadence,
                started_at=started_at,
                ended_at=context.clock(),
                worker=context.worker[:200],
                error=error,
                **counts.as_dict(),
            )
        context.beat()
    except DatabaseFault as fault:
        log.exception("cycle_not_recorded", cadence=context.cadence, error=str(fault))
