"""One claim on its way through the stages: load, re-check, render, send, record. Each message is guarded by itself."""

from __future__ import annotations

from dataclasses import replace

import structlog
from django.db import close_old_connections
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from alerting.cycle.context import CycleContext
from alerting.cycle.counts import LATENESS_SECONDS, POSSIBLE_REPEATS, SENDING_SECONDS, Counts
from alerting.cycle.load import Loaded, load
from alerting.cycle.pauses import pause_begin, pause_end, paused_kinds
from alerting.cycle.queue import Claim
from alerting.cycle.recheck import Checked, recheck
from alerting.cycle.record import end_record, fault_record, success_record, words_fix
from alerting.cycle.render import Written, write
from alerting.cycle.send import Tried, never_sent, send
from alerting.models import ErrorKind, Message, State
from alerting.transports import Transport
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)


class StopSending(Exception):
    """The cycle must not go on: it would repeat messages, or get nowhere."""


class Batch:
    """The messages of one claim. Made for one use: `work`, then `close`."""

    def __init__(self, claimed: Claim, context: CycleContext, counts: Counts, *, until: float) -> None:
        self._claim = claimed
        self._context = context
        self._counts = counts
        self._until = until
        self._transports: dict[str, Transport] = {}
        self._paused: set[str] = set()
        self._was_paused: frozenset[str] = frozenset()
        self._unrecorded: set[int] = set()

    def work(self) -> None:
        """Raises `LookUpFailed` when a bulk look-up fails and `StopSending` when an outcome cannot be recorded."""
        self._was_paused = paused_kinds()
        found = load(self._claim)
        checked = [each for message in found.messages if (each := self._check(message, found))]
        _tell_vessels_not_found(checked, found)
        written = [ready for each in checked if (ready := self._write(each, found))]
        for ready in self._fix(written):
            if not self._may_start():
                break
            if ready.checked.channel and ready.checked.channel.kind not in self._paused:
                self._send(ready)

    def untold(self) -> Claim:
        """What may be given back. A message whose outcome could not be recorded is not: its lease runs out, which
        costs it a death, so that it is not sent again and again."""
        return replace(self._claim, message_ids=tuple(set(self._claim.message_ids) - self._unrecorded))

    def close(self) -> None:
        """Let go of the open connections."""
        for transport in self._transports.values():
            transport.close()

    def _check(self, message: Message, found: Loaded) -> Checked | None:
        """The message if it is to be sent; an end that the re-check found is recorded here."""
        try:
            checked = recheck(message, found, now=self._context.clock())
        except Exception as error:  # one message's rows must not stop the others
            self._ours(Checked(message), error)
            return None
        if checked.end is None:
            return checked
        self._end(checked)
        return None

    def _end(self, checked: Checked) -> None:
        message = checked.message
        if not end_record(checked, token=self._claim.token):
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

    def _write(self, checked: Checked, found: Loaded) -> Written | None:
        try:
            return write(checked, found, self._context)
        except Exception as error:  # a fault of ours costs this message an attempt, and nothing else
            self._ours(checked, error)
            return None

    def _fix(self, written: list[Written]) -> list[Written]:
        """Keep the words of all at once; if that fails, of each by itself."""
        if not written:
            return []
        try:
            ours = words_fix(self._claim, written)
        except (DatabaseFault, ValueError):
            ours = frozenset(one.checked.message.pk for one in written if self._fix_alone(one))
        return [one for one in written if one.checked.message.pk in ours]

    def _fix_alone(self, written: Written) -> bool:
        try:
            return bool(words_fix(self._claim, [written]))
        except (DatabaseFault, ValueError) as error:
            self._ours(written.checked, error)
            return False

    def _may_start(self) -> bool:
        """A send starts only if nobody asked us to stop and both cycle and lease outlast its deadline."""
        context = self._context
        if context.stopping() or context.monotonic() + context.send_deadline > self._until:
            return False
        left = (self._claim.lease_until - context.clock()).total_seconds()
        return left > context.send_deadline

    def _send(self, written: Written) -> None:
        checked, context = written.checked, self._context
        assert checked.channel is not None
        kind = checked.channel.kind
        if kind not in self._transports:
            self._transports[kind] = context.transport(kind)
        tried = send(written.outgoing, self._transports[kind], context)
        SENDING_SECONDS.labels(kind=kind).observe((tried.ended_at - tried.started_at).total_seconds())
        if tried.fault is not None and tried.fault.whole_kind:
            self._pause(kind, tried)
            return
        if kind in self._was_paused:
            pause_end(kind=kind, now=tried.ended_at)
            self._was_paused -= {kind}
        self._record(checked, tried)

    def _pause(self, kind: str, tried: Tried) -> None:
        """The way out is shut: no attempt is burnt; the message and its like are given back and wait."""
        assert tried.fault is not None
        self._paused.add(kind)
        pause_begin(kind=kind, fault=tried.fault, now=tried.ended_at)

    def _record(self, checked: Checked, tried: Tried) -> None:
        """Commit the outcome before anything else is sent: what is sent and not recorded will be sent again."""
        try:
            self._record_once(checked, tried)
        except DatabaseFault as first:
            log.warning("outcome_recorded_again", message=checked.message.pk, error=str(first))
            close_old_connections()
            try:
                self._record_once(checked, tried)
            except DatabaseFault as fault:
                self._unrecorded.add(checked.message.pk)
                raise StopSending(f"The outcome of message {checked.message.pk} was not recorded: {fault}") from fault

    def _record_once(self, checked: Checked, tried: Tried) -> None:
        token, context = self._claim.token, self._context
        if tried.fault is None:
            if success_record(checked, tried, token=token, context=context):
                self._counts.add("sent", context.cadence)
                late = (tried.ended_at - checked.message.due_at).total_seconds()
                LATENESS_SECONDS.labels(cadence=context.cadence).observe(max(0.0, late))
                log.info("message_sent", message=checked.message.pk, answer=tried.answer)
            return
        then = fault_record(checked, tried, token=token, context=context)
        if tried.fault.unknown:
            POSSIBLE_REPEATS.inc()
        if then is not None:
            self._counts.add("failed" if then.state == State.FAILED else "retried", context.cadence)
            self._tell_fault(checked, tried, ended=then.state == State.FAILED)

    def _tell_fault(self, checked: Checked, tried: Tried, *, ended: bool) -> None:
        fault, message = tried.fault, checked.message
        assert fault is not None
        log.warning(
            "message_failed" if ended else "message_put_off",
            message=message.pk,
            error_kind=str(fault.kind),
            error=str(fault),
            unknown=fault.unknown,
        )
        details = {"message": message.pk, "channel": message.channel_id, "user": message.user_id}
        if fault.kind == ErrorKind.OURS:
            incident_report(
                kind="panic_in_send_cycle",
                summary=f"{fault} The message is tried again; all others went on.",
                error=fault.__cause__,
                details=details,
            )
        elif ended:
            incident_report(
                kind="message_failed",
                summary=f"A message could not be delivered: {fault}",
                severity="warning" if fault.kind == ErrorKind.PERMANENT else "error",
                fingerprint=f"message_failed:{message.channel_id}:{fault.kind}",
                details=details,
            )

    def _ours(self, checked: Checked, error: Exception) -> None:
        """A fault of our own, handled where it was caught: it costs this message an attempt, and nothing else."""
        self._record(checked, never_sent(error, self._context))


def _tell_vessels_not_found(checked: list[Checked], found: Loaded) -> None:
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
