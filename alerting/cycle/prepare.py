"""From a claim to messages that are ready to leave: load, re-check, render, keep the words. Each guarded by itself.

It goes in parts, and each part leaves before the next is prepared: what is prepared fills the memory until it has left.
A message for which there is no room beside others is tried again with nothing else in hand. Only then the lack of
memory is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from django.db import connection
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from alerting.cycle.context import CycleContext
from alerting.cycle.counts import Counts
from alerting.cycle.inhand import InHand
from alerting.cycle.load import Loaded, LookUpFailed, load
from alerting.cycle.memory import lacks_memory, room_give_back, wait_for_room_report
from alerting.cycle.outcomes import UNCOUNTED_LEAST, outcome_of
from alerting.cycle.queue import Claim, put_off
from alerting.cycle.recheck import Checked, recheck
from alerting.cycle.recorder import Recorder
from alerting.cycle.render import Written, write
from alerting.cycle.rows import MessageRow, large_message_rows
from alerting.cycle.send import never_sent
from alerting.cycle.words import end_record, words_fix
from resilience.errors import told
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)

# A MemoryError too: the words of all together take several times their size.
_NOT_KEPT = (DatabaseFault, ValueError, MemoryError)
# Alerts whose words are made at once: 1 to 5 KB each.
MOST_TOLD_TOGETHER = 1000
# Messages that are handed over at once: the connections need not wait for all of a claim. Where nothing is in hand they
# wait already, so the first part is small.
FIRST_TOGETHER, MOST_TOGETHER = 20, 100


@dataclass(frozen=True, slots=True)
class _Batch:
    """A claim, or a part of it. `apart`: those of it for which there was no room. `alone`: nothing else is in hand.
    `awaited`: connections have nothing to do."""

    claimed: Claim
    apart: list[int] = field(default_factory=list)
    alone: bool = False
    awaited: bool = False

    def halves(self) -> list[_Batch]:
        """None of a single message."""
        keys = self.claimed.message_ids
        middle = len(keys) // 2
        return [self._of(half) for half in (keys[:middle], keys[middle:])] if middle else []

    def by_itself(self, message: int) -> _Batch:
        return replace(self._of((message,)), alone=True)

    def _of(self, messages: tuple[int, ...]) -> _Batch:
        return replace(self, claimed=replace(self.claimed, message_ids=messages))


class Preparation:
    """What the preparing of all claims of a cycle shares."""

    def __init__(
        self,
        context: CycleContext,
        counts: Counts,
        recorder: Recorder,
        in_hand: InHand,
        *,
        others_gone: Callable[[], bool],
    ) -> None:
        """`others_gone`: waits a moment for what was handed over; whether all of it has left."""
        self._context = context
        self._counts = counts
        self._recorder = recorder
        self._in_hand = in_hand
        self._others_gone = others_gone

    def prepare(self, claimed: Claim, *, awaited: bool) -> Iterator[list[Written]]:
        """Parts of the claim, each to be handed over at once; the first is small where it is `awaited`. A message that
        is in none of them has come to an end, or comes again later. Raises `LookUpFailed` when a bulk look-up fails."""
        batch = _Batch(claimed, awaited=awaited)
        yield from self._parts(batch)
        gone = True
        for message in batch.apart:
            gone = gone and self._others_gone()  # those that stay are waited for once
            if gone:
                yield from self._parts(batch.by_itself(message))
            else:
                self._put_off(message, claimed)

    def _parts(self, batch: _Batch) -> Iterator[list[Written]]:
        """A batch whose rows do not fit into our memory is looked up in halves."""
        try:
            found = load(batch.claimed)
        except LookUpFailed as fault:
            if not lacks_memory(fault.cause):
                raise
            room_give_back()
            self._does_not_fit(batch, fault)
        else:
            yield from self._prepared(found, batch)
            return
        # only here: the fault holds on to all that was found before it
        for half in batch.halves():
            yield from self._parts(half)

    def _does_not_fit(self, batch: _Batch, fault: LookUpFailed) -> None:
        claimed = batch.claimed
        if len(claimed.message_ids) > 1:
            incident_report(
                kind="claim_does_not_fit",
                summary=f"{fault}: more than the memory of a worker holds at once. It is looked up in parts.",
                severity="warning",
                fingerprint="claim_does_not_fit",
                details={"messages": len(claimed.message_ids), "error": told(fault.cause)},
            )
            return
        for message in large_message_rows(claimed.message_ids, claimed.token):
            self._ours(Checked(message), fault.cause, batch)

    def _put_off(self, message: int, claimed: Claim) -> None:
        """Others fill the memory, and stay: it comes again, and no attempt is counted."""
        wait_for_room_report(message)
        put_off(claimed.token, message, until=self._context.clock() + UNCOUNTED_LEAST)
        self._in_hand.ended((message,))

    def _prepared(self, found: Loaded, batch: _Batch) -> Iterator[list[Written]]:
        work = partial(self._part, found=found, batch=batch)
        first = FIRST_TOGETHER if batch.awaited else MOST_TOGETHER
        yield from map(work, _together(found, first=first))  # `map` holds no part on
        if not found.large:
            return
        while found.large:  # one by one, with words that are read by its own steps
            yield work([found.large.popleft()])
        room_give_back()  # once: libpq keeps the room of the largest row, not of each

    def _part(self, messages: Sequence[MessageRow], *, found: Loaded, batch: _Batch) -> list[Written]:
        checked = [each for message in messages if (each := self._check(message, found, batch))]
        _tell_vessels_not_found(checked, found)
        written = [ready for each in checked if (ready := self._write(each, found, batch))]
        return self._fix(written, batch)

    def _check(self, message: MessageRow, found: Loaded, batch: _Batch) -> Checked | None:
        """The message if it is to be sent; an end that the re-check found is recorded here."""
        try:
            checked = recheck(message, found, now=self._context.clock())
            if checked.end is None:
                return checked
            self._end(checked, batch.claimed)
        except Exception as error:  # one message's rows must not stop the others
            _raise_if_lost(error)
            self._ours(Checked(message), error, batch)
        return None

    def _end(self, checked: Checked, claimed: Claim) -> None:
        message = checked.message
        ours = end_record(checked, token=claimed.token)
        self._in_hand.ended((message.pk,))
        if not ours:
            return
        self._counts.add(str(checked.end), self._context.cadence)
        log.info("message_ended_unsent", message=message.pk, state=str(checked.end), reason=checked.reason)
        if checked.deleted_user:
            incident_report(
                kind="deleted_user_with_subscriptions",
                summary=f"User {message.user_id} was deleted but messages still wait for them; they are cancelled.",
                severity="warning",
                fingerprint=f"deleted_user_with_subscriptions:{message.user_id}",
                details={"user": message.user_id, "organisation": message.organisation_id},
            )

    def _write(self, checked: Checked, found: Loaded, batch: _Batch) -> Written | None:
        try:
            if checked.message.large:
                checked.message.words_read()
            return write(checked, found, self._context)
        except Exception as error:  # a fault of ours costs this message an attempt, and nothing else
            _raise_if_lost(error)
            self._ours(checked, error, batch)
            return None

    def _fix(self, written: list[Written], batch: _Batch) -> list[Written]:
        """Keep the words of all at once; if that fails, of each by itself."""
        ours = self._fix_together(written, batch.claimed)
        if ours is None:
            ours = frozenset(one.checked.message.pk for one in written if self._fix_alone(one, batch))
        return [one for one in written if one.checked.message.pk in ours]

    def _fix_together(self, written: list[Written], claimed: Claim) -> frozenset[int] | None:
        try:
            return words_fix(claimed, written)
        except _NOT_KEPT as error:
            _raise_if_lost(error)
            return None

    def _fix_alone(self, written: Written, batch: _Batch) -> bool:
        try:
            return bool(words_fix(batch.claimed, [written]))
        except _NOT_KEPT as error:
            _raise_if_lost(error)
            self._ours(written.checked, error, batch)
            return False

    def _ours(self, checked: Checked, error: Exception, batch: _Batch) -> None:
        """A fault of our own, handled where it was caught: it costs this message an attempt, and nothing else."""
        if lacks_memory(error) and not batch.alone:
            batch.apart.append(checked.message.pk)
            return
        token = batch.claimed.token
        self._recorder.put(outcome_of(checked, token, never_sent(error, self._context), self._context))


def _together(found: Loaded, *, first: int) -> Iterator[list[MessageRow]]:
    """Its messages of usual size, as many at once as `MOST_TOGETHER` and `MOST_TOLD_TOGETHER` allow, and `first`."""
    part: list[MessageRow] = []
    alerts, most = 0, first
    while found.messages:
        tells = len(found.notifications.get(found.messages[0].pk, ()))
        if len(part) == most or (part and alerts + tells > MOST_TOLD_TOGETHER):
            yield part
            part, alerts, most = [], 0, MOST_TOGETHER
        part.append(found.messages.popleft())
        alerts += tells
    if part:
        yield part


def _raise_if_lost(error: Exception) -> None:
    """A database that went away is no message's fault: the cycle ends, and all are given back. One whose answer did not
    fit into our memory is there."""
    if lacks_memory(error):
        room_give_back()
    elif isinstance(error, DatabaseFault) and (connection.connection is None or connection.connection.closed):
        raise error


def _tell_vessels_not_found(checked: Iterable[Checked], found: Loaded) -> None:
    """One incident however many they are: their alerts leave all the same and name them by MMSI."""
    wanted = {one.event.mmsi for each in checked for one in each.wanted}
    if missing := sorted(wanted - found.vessels.keys()):
        incident_report(
            kind="vessel_not_found",
            summary=f"{len(missing)} vessels with alerts cannot be found, the first by MMSI {missing[0]:09d};"
            " their alerts name them by MMSI.",
            severity="warning",
            fingerprint="vessel_not_found",
            details={"mmsis": missing[:20]},
        )
