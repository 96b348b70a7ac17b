"""A send cycle: claim, load, re-check, render, send, record, until nothing is due or somebody says stop.

The order matters:
1. claim a batch by lease and token;
2. load all it needs in bulk; a look-up that fails ends the cycle loudly and gives the batch back;
3. re-check and render each message by itself; keep the words before they leave;
4. send on threads with one open connection each, which never touch the database; no transaction is open meanwhile;
5. one recorder commits outcomes in groups; a connection lets its next message go only when its last is settled;
6. give back what was not started.
While the senders work on one batch, the next one is prepared: claimed when half of what is in hand has left.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import structlog
from django.db import close_old_connections
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from accounts.models import ChannelKind
from alerting.cycle.context import CycleContext
from alerting.cycle.counts import CYCLES, Counts
from alerting.cycle.inhand import InHand
from alerting.cycle.lane import Ready
from alerting.cycle.load import LookUpFailed
from alerting.cycle.pace import Pace
from alerting.cycle.prepare import Preparation
from alerting.cycle.queue import Claim, claim, release
from alerting.cycle.recorder import Recorder
from alerting.cycle.senders import Senders
from alerting.cycle.ways_out import kinds_shut, probe_give_back, probes_take
from alerting.models import SendCycleRun
from resilience.breakers.group import Probe

log = structlog.get_logger(__name__)

_BEAT_SECONDS = 5.0

# Claims that could not be given back because the database was away: the next cycle of this process does it.
_owed: dict[UUID, list[int]] = {}


def send_cycle(context: CycleContext) -> Counts:
    """One guarded pass. Never raises an `Exception`: what goes wrong is an incident, and the next cycle tries again."""
    started_at, began = context.clock(), context.monotonic()
    counts, error = Counts(), ""
    close_old_connections()
    try:
        context.beat()
        _give_back_owed()
        error = _Cycle(context, counts, until=began + context.budget).run()
    except LookUpFailed as fault:
        error = str(fault)
        log.exception(fault.event, cadence=context.cadence, error=f"{fault}: {fault.__cause__}")
    except DatabaseFault as fault:
        error = f"The database was lost: {fault}"
        log.exception("send_cycle_lost_the_database", cadence=context.cadence, error=str(fault))
    except Exception as fault:
        error = f"{type(fault).__name__}: {fault}"
        log.exception("panic_in_send_cycle", cadence=context.cadence, error=error)
    _finish(context, counts, started_at=started_at, error=error, seconds=context.monotonic() - began)
    return counts


class _Cycle:
    """One pass over the queue with its recorder and senders."""

    def __init__(self, context: CycleContext, counts: Counts, *, until: float) -> None:
        self._context = context
        self._counts = counts
        self._in_hand = InHand()
        self._recorder = Recorder(context, self._in_hand, until=until)
        self._senders = Senders(context, self._recorder, self._in_hand, until=until)
        self._preparation = Preparation(context, counts, self._recorder, self._in_hand)

    def run(self) -> str:
        """Returns what kept the cycle from going on, or ""."""
        try:
            self._probe()
            self._send_what_is_due()
            self._send_suspects()
        finally:
            self._senders.close()
            self._recorder.close()
            self._counts.add_all(self._recorder.counts)
            self._give_back(self._in_hand.take_all())
        return "An outcome could not be recorded." if self._recorder.given_up.is_set() else ""

    def _probe(self) -> None:
        """One message of each shut kind whose time has come."""
        for probe in probes_take(now=self._context.clock()):
            others = [one for one in ChannelKind.values if one != probe.name]
            claimed = self._claim(1, paused=others)
            if not claimed.message_ids:
                claimed = self._claim(1, paused=others, suspects=True)
            if self._work(claimed, probe=probe):
                self._wait(at_most=0)
            else:  # this cadence has nothing that could show whether the way is open again
                probe_give_back(probe, now=self._context.clock())

    def _send_what_is_due(self) -> None:
        pace = Pace(most=self._context.claim_size, monotonic=self._context.monotonic)
        while self._senders.open():
            claimed = self._claim(pace.room(self._senders.unfinished()), paused=self._paused())
            if not claimed.message_ids:
                break
            pace.put(self._work(claimed))
            self._wait(at_most=pace.low())
            pace.left(self._senders.unfinished())
            self._context.intake()
        self._wait(at_most=0)

    def _send_suspects(self) -> None:
        """Messages during which a worker died: each alone in this process."""
        while self._senders.open():
            claimed = self._claim(1, paused=self._paused(), suspects=True)
            if not claimed.message_ids:
                return
            self._work(claimed)
            self._wait(at_most=0)

    def _paused(self) -> frozenset[str]:
        return kinds_shut() | self._senders.shut

    def _claim(self, limit: int, *, paused: Collection[str], suspects: bool = False) -> Claim:
        context = self._context
        claimed = claim(
            lanes=context.lanes(but=paused),
            limit=limit,
            now=context.clock(),
            lease=context.lease,
            worker=context.worker,
            suspects=suspects,
        )
        self._in_hand.take(claimed)
        self._counts.claimed += len(claimed.message_ids)
        return claimed

    def _work(self, claimed: Claim, *, probe: Probe | None = None) -> int:
        """Prepare a claim and hand it to the senders; how many of it are to be sent."""
        if not claimed.message_ids:
            return 0
        written = self._preparation.prepare(claimed)
        self._senders.put([Ready(one, claimed, probe) for one in written])
        return len(written)

    def _wait(self, *, at_most: int) -> None:
        """Until the senders have no more than that left; meanwhile give back what they returned."""
        while self._senders.unfinished() > at_most:
            self._senders.wait(at_most=at_most, seconds=_BEAT_SECONDS)
            self._context.beat()
        if at_most == 0:
            self._recorder.settle()
        self._give_back(self._in_hand.take_returned())

    def _give_back(self, several: dict[UUID, list[int]]) -> None:
        for token, messages in several.items():
            self._counts.released += _release(token, messages)


def _release(token: UUID, messages: list[int]) -> int:
    try:
        return release(token, messages)
    except DatabaseFault as fault:
        _owed[token] = messages
        log.warning("release_failed", claimed=len(messages), error=str(fault))
        return 0


def _give_back_owed() -> None:
    for token, messages in list(_owed.items()):
        release(token, messages)
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
