"""The senders of one cycle: a lane for each kind of channel, and the rules by which each connection goes on.

A lane's driver and threads never touch the database. Each kind has its own, so that one whose server hangs holds up no
other. A connection lets its next message go only when what its last one came to would survive this process: a crash
repeats at most one message for each open connection. Meanwhile the envelope of the next one is already on its way.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import structlog

from alerting.cycle.context import CycleContext
from alerting.cycle.counts import POSSIBLE_REPEATS
from alerting.cycle.inhand import InHand
from alerting.cycle.journal import Accepted
from alerting.cycle.lane import Lane
from alerting.cycle.memory import lacks_memory, wait_for_room_report
from alerting.cycle.outcomes import Settled, outcome_of, uncounted_until
from alerting.cycle.queue import put_off
from alerting.cycle.recorder import Recorder
from alerting.cycle.seat import Ready, Seat
from alerting.cycle.send import Begun, never_sent, send
from alerting.cycle.tried import Tried
from alerting.cycle.ways_out import probe_give_back, way_open, way_shut
from alerting.models import ErrorKind
from alerting.transports import NotHandedOver, TransportError
from alerting.transports.limits import Pacer
from resilience.breakers.group import Probe

log = structlog.get_logger(__name__)

_LOOK_ROUND_SECONDS = 0.2
_OTHERS_FAULT = timedelta(hours=1)


class Senders:
    """`put` what is ready; `close` returns when the last thread has ended."""

    def __init__(self, context: CycleContext, recorder: Recorder, in_hand: InHand, *, until: float) -> None:
        """`until`: monotonic seconds; no send starts that could end later."""
        self.shut: set[str] = set()  # kinds whose way out turned out to be shut
        self._context = context
        self._recorder = recorder
        self._in_hand = in_hand
        self._until = until
        self._lanes: dict[str, Lane] = {}
        self._pacers: dict[str, Pacer] = {}
        self._over = threading.Event()
        self._fewer = threading.Event()
        self._wake_at: Mapping[str, int] = {}
        self._pages = iter(()) if context.journal is None else context.journal.pages()

    def put(self, several: Sequence[Ready]) -> None:
        """Queue messages for the next free connection of their kind."""
        kinds: dict[str, list[Ready]] = {}
        for ready in several:
            kinds.setdefault(ready.kind, []).append(ready)
        for kind, theirs in kinds.items():
            self._lane(kind).put(theirs)

    def unfinished(self, kind: str | None = None) -> int:
        """Messages that wait or are on the wire: of this kind, or of all."""
        return sum(lane.unfinished() for lane in list(self._lanes.values()) if kind in (None, lane.kind))

    def connections(self, kind: str) -> int:
        """How many of this kind may be open: what the settings say, unless its server wants fewer."""
        lane = self._lanes.get(kind)
        return self._context.limits(kind).connections if lane is None else lane.most

    def wait(self, at_most: Mapping[str, int], *, seconds: float) -> None:
        """Until one of these kinds has no more than so many unfinished, nothing is unfinished, or time is up."""
        self._wake_at = at_most
        self._fewer.clear()
        if not self._few():
            self._fewer.wait(seconds)

    def _few(self) -> bool:
        if not self.unfinished():
            return True
        return any(self.unfinished(kind) <= number for kind, number in self._wake_at.items())

    def open(self) -> bool:
        """A send may start only if nobody said stop, it can end in time, and its outcome can be kept."""
        context = self._context
        return not (
            self._over.is_set()
            or self._recorder.given_up.is_set()
            or context.stopping()
            or context.monotonic() + context.send_deadline > self._until
        )

    def close(self) -> None:
        """What is on the wire is finished, the rest is returned."""
        self._over.set()
        for lane in self._lanes.values():
            for ready in lane.close():
                self._return(ready)

    def _lane(self, kind: str) -> Lane:
        if kind not in self._lanes:
            limits = self._context.limits(kind)
            self._pacers[kind] = self._context.pacers.of(kind, limits.per_second)
            self._lanes[kind] = Lane(
                kind,
                most=limits.connections,
                service=self,
                driven=limits.per_second == 0,  # else each message waits for its turn
            )
        return self._lanes[kind]

    # From here on: called by the lanes' threads.

    def sit(self, kind: str) -> Seat:
        return Seat(self._context.transport(kind), next(self._pages, None))

    def begin(self, ready: Ready, lane: Lane, seat: Seat) -> Begun | None:
        """Does not wait."""
        if not self._may_send(ready, lane):
            self._return(ready)
            return None
        seat.mentioned = False
        context = self._context
        deadline = context.monotonic() + context.send_deadline
        return Begun(context.clock(), deadline, context.clock, partial(seat.transport.send, ready.written.outgoing))

    def may_hand_over(self, seat: Seat) -> bool:
        """Does not wait."""
        seat.mentioned = True
        settled = seat.settled(0.0, hurry=self._recorder.hurry)
        return settled and not self._recorder.given_up.is_set()

    def accepted(self, ready: Ready, lane: Lane, seat: Seat, tried: Tried) -> None:
        """From here on it must not be sent again, whatever becomes of this process or of our memory."""
        lane.works = True
        try:
            self._keep(ready, seat, tried)
            self._answered(ready, seat, tried)
        except Exception as fault:
            self._unrecorded(ready, fault)

    def connect(self, ready: Ready, lane: Lane, seat: Seat) -> Begun | None:
        begun = self.begin(ready, lane, seat)
        if begun is None:
            return None
        tried = send(begun._replace(go_on=seat.open))
        if tried.fault is None:
            return begun
        self._came_to(ready, lane, seat, tried)
        return None

    def serve(self, ready: Ready, lane: Lane, seat: Seat, begun: Begun | None) -> None:
        if begun is None:
            if not self._wait_for_turn(lane):
                self._return(ready)
                return
            begun = self.begin(ready, lane, seat)
            if begun is None:
                return
        try:
            tried = send(begun, handover=partial(self._handover, seat))
        except NotHandedOver:
            self._return(ready)
        else:
            self._came_to(ready, lane, seat, tried)

    def _came_to(self, ready: Ready, lane: Lane, seat: Seat, tried: Tried) -> None:
        fault = tried.fault
        if fault is not None and fault.whole_kind:
            self._way_shut(ready, lane, seat, tried, fault)
            return
        if self._had_no_room(ready, seat, tried):
            wait_for_room_report(ready.message_id)
            self._put_off(ready, until=uncounted_until(ready.written.checked.message, now=tried.ended_at))
            return
        if fault is not None and fault.untried:
            self._put_off(ready, until=tried.ended_at + timedelta(seconds=fault.retry_after or 0.0))
            return
        if fault is None:
            self.accepted(ready, lane, seat, tried)
        else:
            lane.works = True
            self._answered(ready, seat, tried)

    def _had_no_room(self, ready: Ready, seat: Seat, tried: Tried) -> bool:
        """It did not fit into our memory beside what others hold, and nothing of it has left. After an hour of that it
        is charged all the same: it may be too large by itself, and never be alone."""
        cause = tried.fault.__cause__ if tried.fault else None
        if not isinstance(cause, Exception) or not lacks_memory(cause) or seat.mentioned:
            return False
        return self.unfinished() > 1 and tried.ended_at - ready.written.checked.message.due_at < _OTHERS_FAULT

    def _keep(self, ready: Ready, seat: Seat, tried: Tried) -> None:
        """In the journal. Where there is no memory even for that, this seat waits for each commit from now on."""
        if seat.page is None:
            return
        try:
            seat.page.keep(Accepted(ready.message_id, ready.claim.token, tried))
        except MemoryError:
            seat.page = None

    def _answered(self, ready: Ready, seat: Seat, tried: Tried) -> None:
        if ready.probe:
            self._recorder.put_note(partial(self._way_open, ready.probe, tried.ended_at))
        seat.unsettled.append(self._record(ready, tried))

    def _handover(self, seat: Seat) -> None:
        """It waits for half of the deadline at most, which is long, unless the database is away."""
        seat.mentioned = True
        settled = seat.settled(self._context.send_deadline / 2, hurry=self._recorder.hurry)
        if settled and not self._recorder.given_up.is_set():
            return
        self._over.set()
        raise NotHandedOver

    def _wait_for_turn(self, lane: Lane) -> bool:
        """A provider's limit of messages a second. False if the cycle ended meanwhile."""
        left = self._pacers[lane.kind].seconds_to_wait()
        while left > 0 and self.open():
            step = min(left, _LOOK_ROUND_SECONDS)
            self._over.wait(step)
            left -= step
        return left <= 0

    def _may_send(self, ready: Ready, lane: Lane) -> bool:
        if not self.open() or ready.claim.ends_at - self._context.monotonic() <= self._context.send_deadline:
            self._over.set()  # whatever waits behind this one has no more time
            return False
        if ready.claim.token in self._recorder.lost_claims:
            return False  # others have its messages by now
        return ready.probe is not None or lane.kind not in self.shut

    def _way_shut(self, ready: Ready, lane: Lane, seat: Seat, tried: Tried, fault: TransportError) -> None:
        """The kind pauses and no attempt is burnt; or the server only wants fewer connections than we have."""
        if fault.unknown:
            POSSIBLE_REPEATS.inc()
        if fault.kind == ErrorKind.TRANSIENT and lane.works and lane.leave(ready, seat):
            log.info("connections_limited", kind=lane.kind, answer=fault.answer)
            return
        if seat.mentioned:
            # it may be this message's own doing: the next probe is another one
            self._put_off(ready, until=uncounted_until(ready.written.checked.message, now=tried.ended_at))
        else:
            self._in_hand.returned(ready.message_id)
        if lane.kind not in self.shut:
            self.shut.add(lane.kind)
            note = partial(way_shut, lane.kind, fault=fault, probe=ready.probe, now=tried.ended_at)
            self._recorder.put_note(note)

    def _way_open(self, probe: Probe, at: datetime) -> None:
        way_open(probe, now=at)
        self.shut.discard(probe.name)

    def _put_off(self, ready: Ready, *, until: datetime) -> None:
        """It comes again then, and no attempt is counted."""

        def note() -> None:
            put_off(ready.claim.token, ready.message_id, until=until)
            self._in_hand.ended((ready.message_id,))  # else it is given back at the end of the cycle

        self._recorder.put_note(note)
        self._end_probe(ready)

    def _return(self, ready: Ready) -> None:
        self._in_hand.returned(ready.message_id)
        self._end_probe(ready)

    def _end_probe(self, ready: Ready) -> None:
        """It has shown nothing: another message may try the way."""
        if ready.probe is not None:
            self._recorder.put_note(partial(probe_give_back, ready.probe))

    def done(self, lane: Lane) -> None:
        left = lane.unfinished()
        if left <= self._wake_at.get(lane.kind, 0) and (left or self._few()):
            self._fewer.set()

    def failed(self, ready: Ready, error: Exception) -> None:
        """Our own code failed round a send. Never raises an `Exception`: its thread serves others."""
        try:
            self._record(ready, never_sent(error, self._context))
        except Exception as fault:  # no memory even for that
            self._unrecorded(ready, fault)

    def _unrecorded(self, ready: Ready, fault: Exception) -> None:
        self._recorder.unrecorded(ready.message_id)
        with suppress(Exception):
            log.exception("outcome_not_recorded", message=ready.message_id, error=str(fault))

    def _record(self, ready: Ready, tried: Tried) -> Settled:
        outcome = outcome_of(ready.written.checked, ready.claim.token, tried, self._context)
        self._recorder.put(outcome)
        return outcome.settled
