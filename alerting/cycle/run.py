"""A send cycle: claim, load, re-check, render, send, record, until nothing is due or somebody says stop.

The order matters:
1. claim a batch by lease and token;
2. load all it needs in bulk; a look-up that fails ends the cycle loudly and gives the batch back;
3. re-check and render each message by itself; keep the words before they leave;
4. send one message at a time over one open connection, with no transaction open;
5. record its outcome before the next one starts: a crash can repeat only the one in hand;
6. give back what was not started.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

import structlog
from django.db import close_old_connections
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from accounts.models import ChannelKind
from alerting.cycle.batch import Batch, StopSending
from alerting.cycle.context import CycleContext
from alerting.cycle.counts import CYCLES, Counts
from alerting.cycle.load import LookUpFailed
from alerting.cycle.pauses import paused_kinds, probe_give_back, probes_take
from alerting.cycle.queue import Claim, claim, release
from alerting.models import SendCycleRun

log = structlog.get_logger(__name__)

# Claims that could not be given back because the database was away: the next cycle of this process does it.
_owed: dict[UUID, Claim] = {}


def send_cycle(context: CycleContext) -> Counts:
    """One guarded pass. Never raises an `Exception`: what goes wrong is an incident, and the next cycle tries again."""
    started_at, began = context.clock(), context.monotonic()
    counts, error = Counts(), ""
    close_old_connections()
    try:
        context.beat()
        _give_back_owed()
        for claimed in _claims(context, counts, until=began + context.budget):
            _work(claimed, context, counts, until=began + context.budget)
            context.beat()
    except StopSending as stopped:
        error = str(stopped)
        log.exception("outcome_not_recorded", cadence=context.cadence, error=error)
    except LookUpFailed as fault:
        error = str(fault)
        log.exception(fault.event, cadence=context.cadence, error=f"{fault}: {fault.__cause__}")
    except Exception as fault:
        error = f"{type(fault).__name__}: {fault}"
        log.exception("panic_in_send_cycle", cadence=context.cadence, error=error)
    _finish(context, counts, started_at=started_at, error=error, seconds=context.monotonic() - began)
    return counts


def _claims(context: CycleContext, counts: Counts, *, until: float) -> Iterator[Claim]:
    """One message of each paused kind whose probe is due; then batches of what is due while there are any; last
    the messages during which a worker died, each alone."""
    for kind in probes_take(now=context.clock()):
        others = [one for one in ChannelKind.values if one != kind]
        probe = _claim(context, limit=1, paused=others)
        if not probe.message_ids:
            probe = _claim(context, limit=1, paused=others, suspects=True)
        if probe.message_ids:
            yield probe
        else:  # this cadence has nothing that could show whether the way is open again
            probe_give_back(kind=kind, now=context.clock())
    for suspects in (False, True):
        while not context.stopping() and context.monotonic() + context.send_deadline <= until:
            limit = 1 if suspects else context.claim_size
            claimed = _claim(context, limit=limit, paused=paused_kinds(), suspects=suspects)
            if not claimed.message_ids:
                break
            before = counts.tried()
            yield claimed
            if counts.tried() == before:  # nothing of it could be started, so nothing of the next could
                break


def _claim(context: CycleContext, *, limit: int, paused: Collection[str], suspects: bool = False) -> Claim:
    return claim(
        kinds=context.kinds,
        limit=limit,
        now=context.clock(),
        lease=context.lease,
        paused=paused,
        suspects=suspects,
    )


def _work(claimed: Claim, context: CycleContext, counts: Counts, *, until: float) -> None:
    """One claim from load to record; whatever happens, what was not tried is given back."""
    if not claimed.message_ids:
        return
    counts.claimed += len(claimed.message_ids)
    batch = Batch(claimed, context, counts, until=until)
    try:
        batch.work()
    finally:
        batch.close()
        counts.released += _give_back(batch.untold())


def _give_back(claimed: Claim) -> int:
    try:
        return release(claimed)
    except DatabaseFault as fault:
        _owed[claimed.token] = claimed
        log.warning("release_failed", claimed=len(claimed.message_ids), error=str(fault))
        return 0


def _give_back_owed() -> None:
    for token, claimed in list(_owed.items()):
        release(claimed)
        del _owed[token]


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
