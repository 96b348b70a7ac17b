"""The rounds of a send cycle: what is claimed, when, and what waits for nothing else.

A round claims for each kind of channel that has less in hand than its pace allows, and then looks round:
for work that a connection has finished, and a few times a second for what is new. So neither a server that hangs nor a
flood on one kind of channel holds up anything else. Messages during which a worker died are tried with nothing else in
hand; they have a moment of their own between rounds, also under a flood.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from uuid import UUID

import structlog
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from accounts.models import ChannelKind
from alerting.cycle.context import CycleContext
from alerting.cycle.counts import Counts
from alerting.cycle.inhand import InHand
from alerting.cycle.pace import Pace
from alerting.cycle.prepare import Preparation
from alerting.cycle.queue import Claim, claim, release, suspects_wait
from alerting.cycle.recorder import Recorder
from alerting.cycle.render import Written
from alerting.cycle.seat import Ready
from alerting.cycle.senders import Senders
from alerting.cycle.ways_out import kinds_shut, probe_give_back, probes_take
from resilience.breakers.group import Probe

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1  # how long something new waits at most while a server lets us wait
PROBE_EVERY_SECONDS = 1.0
SUSPECTS_EVERY_SECONDS = 10.0
ALONE_FOR_SECONDS = 1.0  # what others wait for those that must be alone
# What is in hand is gone by then where a server takes up to a second: two messages for each connection at most.
OTHERS_GO_SECONDS = 2.0

# Whose turn it was last in each lane: the next cycle goes on from there.
_served: dict[str, int] = {}
# Claims that could not be given back because the database was away: the next cycle of this process does it.
_owed: dict[UUID, list[int]] = {}


class Rounds:
    """One pass over the queue with its recorder and senders."""

    def __init__(self, context: CycleContext, counts: Counts, *, until: float) -> None:
        self._context = context
        self._counts = counts
        self._in_hand = InHand()
        self._recorder = Recorder(context, self._in_hand, until=until)
        self._senders = Senders(context, self._recorder, self._in_hand, until=until)
        self._preparation = Preparation(context, counts, self._recorder, self._in_hand, others_gone=self._others_gone)
        self._paces: dict[str, Pace] = {}
        self._more: set[str] = set()  # kinds of which more may be due than was claimed
        self._probe_at = context.monotonic()

    def run(self) -> str:
        """Until nothing is due or somebody says stop. Returns what kept it from going on, or ""."""
        try:
            more = True
            while more and self._senders.open():
                suspects_wait = self._send_suspects()
                more = self._send_what_is_due() or suspects_wait
        finally:
            try:
                self._senders.close()
                self._recorder.close()
            except BaseException:
                self._leave_journal()
                raise
            self._counts.add_all(self._recorder.counts)
            if self._recorder.given_up.is_set():
                self._leave_journal()
            self._give_back(self._in_hand.take_all())
        return "An outcome could not be recorded." if self._recorder.given_up.is_set() else ""

    def _leave_journal(self) -> None:
        """What could not be recorded may be in it. It is read before a lease that ran out makes anybody send again."""
        if self._context.journal is not None:
            self._context.journal.leave()

    def _send_what_is_due(self) -> bool:
        """False when nothing is due or in hand any more; True when others should have a turn."""
        until = self._context.monotonic() + SUSPECTS_EVERY_SECONDS
        while self._senders.open() and self._context.monotonic() < until:
            self._probe()
            # asked before the claim: a probe that succeeds during it has opened the way for more
            idle = not self._senders.unfinished()
            if idle:
                self._recorder.settle()
            if not self._claim_where_there_is_room() and idle:
                return False
            self._look_round(self._more)
            self._context.intake()
        return True

    def _claim_where_there_is_room(self) -> bool:
        """For each kind as many as it has room for. False if nothing was due."""
        rooms = self._rooms()
        if not rooms:
            return True  # all hands are full
        claimed = self._claim(rooms)
        self._more -= rooms.keys()
        self._more |= {kind for kind, room in rooms.items() if claimed.by_lane.get(self._context.lane(kind)) == room}
        self._work(claimed)
        return bool(claimed.message_ids)

    def _rooms(self) -> dict[str, int]:
        """How many messages may be claimed for each kind whose connections may soon be idle."""
        kinds, rooms = self._kinds_open(), {}
        self._more.intersection_update(kinds)
        for kind in kinds:
            pace, unfinished = self._pace(kind), self._senders.unfinished(kind)
            if unfinished <= pace.low():
                rooms[kind] = pace.room(unfinished)
        return rooms

    def _pace(self, kind: str) -> Pace:
        if kind not in self._paces:
            context = self._context
            self._paces[kind] = Pace(
                connections=partial(self._senders.connections, kind),
                most=context.claim_size,
                monotonic=context.monotonic,
                per_second=context.limits(kind).per_second,
            )
        return self._paces[kind]

    def _probe(self) -> None:
        """One message of each shut kind whose time has come; the others go on meanwhile."""
        now = self._context.monotonic()
        if now < self._probe_at or not kinds_shut():
            return
        self._probe_at = now + PROBE_EVERY_SECONDS
        for probe in probes_take():
            claimed = self._claim({probe.name: 1})
            if not self._work(claimed, probe=probe) and not self._probe_by_suspect(probe):
                # this cadence has nothing that could show whether the way is open again
                probe_give_back(probe)

    def _probe_by_suspect(self, probe: Probe) -> bool:
        if self._senders.unfinished():
            return False
        sent = self._work(self._claim_suspect([probe.name]), probe=probe)
        self._finish()
        return bool(sent)

    def _send_suspects(self) -> bool:
        """Messages during which a worker died: each alone in this process. True if some may wait still."""
        if not self._suspects_wait():
            return False
        if not self._others_gone():
            return True
        until = self._context.monotonic() + ALONE_FOR_SECONDS
        while self._senders.open():
            if self._context.monotonic() >= until:
                return True
            claimed = self._claim_suspect(self._kinds_open())
            if not claimed.message_ids:
                return False
            self._work(claimed)
            self._finish()
        return True

    def _suspects_wait(self) -> bool:
        context = self._context
        return suspects_wait(lanes=[context.lane(kind) for kind in self._kinds_open()], now=context.clock())

    def _kinds_open(self) -> list[str]:
        """Those of which messages may be claimed."""
        paused = kinds_shut() | self._senders.shut
        return [kind for kind in ChannelKind.values if kind not in paused]

    def _claim_suspect(self, kinds: Collection[str]) -> Claim:
        return self._claim(dict.fromkeys(kinds, 1), only_one=True, suspects=True)

    def _claim(self, rooms: Mapping[str, int], *, only_one: bool = False, suspects: bool = False) -> Claim:
        """`rooms`: by kind of channel."""
        context = self._context
        claimed = claim(
            rooms={context.lane(kind): room for kind, room in rooms.items()},
            now=context.clock(),
            lease=context.lease,
            worker=context.worker,
            only_one=only_one,
            suspects=suspects,
            served=_served,
            monotonic=context.monotonic,
        )
        self._in_hand.take(claimed)
        self._counts.claimed += len(claimed.message_ids)
        return claimed

    def _work(self, claimed: Claim, *, probe: Probe | None = None) -> int:
        """Prepare a claim and hand it to the senders; how many of it are to be sent."""
        if not claimed.message_ids:
            return 0
        self._recorder.begin()
        parts = self._preparation.prepare(claimed, awaited=self._awaited(claimed))
        # by `map`, which holds no part on: what is prepared fills the memory until it has left
        return sum(map(partial(self._hand_over, claimed, probe), parts))

    def _awaited(self, claimed: Claim) -> bool:
        """Whether the connections of one of its kinds have nothing to do."""
        lanes = {self._context.lane(kind): kind for kind in ChannelKind.values}
        return any(not self._senders.unfinished(lanes[lane]) for lane in claimed.by_lane)

    def _hand_over(self, claimed: Claim, probe: Probe | None, part: Sequence[Written]) -> int:
        ready = [Ready(one, claimed, probe) for one in part]
        for kind, number in Counter(one.kind for one in ready).items():
            self._pace(kind).put(number)
        self._senders.put(ready)
        return len(ready)

    def _others_gone(self) -> bool:
        """Whether nothing is in hand any more, and a message may be sent alone; waits a moment for it."""
        until = self._context.monotonic() + OTHERS_GO_SECONDS
        while self._senders.unfinished() and self._context.monotonic() < until:
            self._look_round()
        return self._senders.open() and not self._senders.unfinished()

    def _finish(self) -> None:
        """Wait until nothing is in hand."""
        while self._senders.unfinished():
            self._look_round()

    def _look_round(self, kinds: Collection[str] = ()) -> None:
        """Wait a moment, or until nothing is in hand or one of these kinds has room again."""
        self._senders.wait({kind: self._pace(kind).low() for kind in kinds}, seconds=LOOK_SECONDS)
        self._context.beat()
        for kind, pace in self._paces.items():
            pace.left(self._senders.unfinished(kind))
        if not self._senders.unfinished():
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


def give_back_owed() -> None:
    """What an earlier cycle of this process could not give back."""
    for token, messages in list(_owed.items()):
        release(token, messages)
        del _owed[token]
