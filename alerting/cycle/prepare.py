"""From a claim to messages that are ready to leave: load, re-check, render, keep the words. Each guarded by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import structlog
from django.db import connection
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from alerting.cycle.context import CycleContext
from alerting.cycle.counts import Counts
from alerting.cycle.inhand import InHand
from alerting.cycle.load import Loaded, LookUpFailed, load
from alerting.cycle.memory import lacks_memory, room_give_back
from alerting.cycle.outcomes import outcome_of
from alerting.cycle.queue import Claim
from alerting.cycle.recheck import Checked, recheck
from alerting.cycle.recorder import Recorder
from alerting.cycle.render import Written, write
from alerting.cycle.send import never_sent
from alerting.cycle.words import end_record, words_fix
from alerting.models import WORDS, Message
from resilience.errors import told
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)

# A MemoryError too: the words of all together take several times their size.
_NOT_KEPT = (DatabaseFault, ValueError, MemoryError)


class Preparation:
    """What the preparing of all claims of a cycle shares."""

    def __init__(self, context: CycleContext, counts: Counts, recorder: Recorder, in_hand: InHand) -> None:
        self._context = context
        self._counts = counts
        self._recorder = recorder
        self._in_hand = in_hand

    def prepare(self, claimed: Claim) -> list[Written]:
        """Raises `LookUpFailed` when a bulk look-up fails. A message that is not in the answer has come to an end.

        A claim that does not fit into our memory is looked up in halves, down to the message that does not fit alone.
        """
        try:
            found = load(claimed)
        except LookUpFailed as fault:
            if not lacks_memory(fault.cause):
                raise
            room_give_back()
            self._does_not_fit(claimed, fault)
        else:
            return self._prepare(found, claimed)
        # only here: the fault holds on to all that was found before it
        return [ready for half in _halves(claimed) for ready in self.prepare(half)]

    def _does_not_fit(self, claimed: Claim, fault: LookUpFailed) -> None:
        if len(claimed.message_ids) > 1:
            incident_report(
                kind="claim_does_not_fit",
                summary=f"{fault}: more than the memory of a worker holds at once. It is looked up in parts.",
                severity="warning",
                fingerprint="claim_does_not_fit",
                details={"messages": len(claimed.message_ids), "error": told(fault.cause)},
            )
            return
        for message in Message.objects.filter(pk__in=claimed.message_ids, claim_token=claimed.token).defer(*WORDS):
            self._ours(Checked(message), fault.cause, claimed)

    def _prepare(self, found: Loaded, claimed: Claim) -> list[Written]:
        """What is large comes last and one by one, with words that are read by its own steps."""
        ready = self._prepare_part(found.messages, found, claimed)
        for message in found.large:
            ready += self._prepare_part((message,), found, claimed)
        if found.large:
            room_give_back()
        return ready

    def _prepare_part(self, messages: Sequence[Message], found: Loaded, claimed: Claim) -> list[Written]:
        checked = [each for message in messages if (each := self._check(message, found, claimed))]
        _tell_vessels_not_found(checked, found)
        written = [ready for each in checked if (ready := self._write(each, found, claimed))]
        return self._fix(written, claimed)

    def _check(self, message: Message, found: Loaded, claimed: Claim) -> Checked | None:
        """The message if it is to be sent; an end that the re-check found is recorded here."""
        try:
            checked = recheck(message, found, now=self._context.clock())
            if checked.end is None:
                return checked
            self._end(checked, claimed)
        except Exception as error:  # one message's rows must not stop the others
            _raise_if_lost(error)
            self._ours(Checked(message), error, claimed)
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

    def _write(self, checked: Checked, found: Loaded, claimed: Claim) -> Written | None:
        try:
            return write(checked, found, self._context)
        except Exception as error:  # a fault of ours costs this message an attempt, and nothing else
            _raise_if_lost(error)
            self._ours(checked, error, claimed)
            return None

    def _fix(self, written: list[Written], claimed: Claim) -> list[Written]:
        """Keep the words of all at once; if that fails, of each by itself."""
        ours = self._fix_together(written, claimed)
        if ours is None:
            ours = frozenset(one.checked.message.pk for one in written if self._fix_alone(one, claimed))
        return [one for one in written if one.checked.message.pk in ours]

    def _fix_together(self, written: list[Written], claimed: Claim) -> frozenset[int] | None:
        try:
            return words_fix(claimed, written)
        except _NOT_KEPT as error:
            _raise_if_lost(error)
            return None

    def _fix_alone(self, written: Written, claimed: Claim) -> bool:
        try:
            return bool(words_fix(claimed, [written]))
        except _NOT_KEPT as error:
            _raise_if_lost(error)
            self._ours(written.checked, error, claimed)
            return False

    def _ours(self, checked: Checked, error: Exception, claimed: Claim) -> None:
        """A fault of our own, handled where it was caught: it costs this message an attempt, and nothing else."""
        self._recorder.put(outcome_of(checked, claimed.token, never_sent(error, self._context), self._context))


def _halves(claimed: Claim) -> list[Claim]:
    """None of a single message."""
    keys = claimed.message_ids
    middle = len(keys) // 2
    return [replace(claimed, message_ids=half) for half in (keys[:middle], keys[middle:])] if middle else []


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
