"""Say what came of an attempt, once it is in the database: log, metrics, incidents."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import structlog

from alerting.cycle.context import CycleContext
from alerting.cycle.counts import LATENESS_SECONDS, POSSIBLE_REPEATS, SENDING_SECONDS, Counts
from alerting.cycle.outcomes import Outcome
from alerting.models import ErrorKind, State
from alerting.transports import TransportError
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)


def outcomes_tell(outcomes: Sequence[Outcome], *, ours: Collection[int], counts: Counts, context: CycleContext) -> None:
    """`ours`: messages whose claim still held when their outcome was written."""
    for each in outcomes:
        _tell(each, ours=each.message_id in ours, counts=counts, context=context)
    sent = [each.message_id for each in outcomes if each.tried.fault is None and each.message_id in ours]
    if sent:
        # one line for those written together: a line for each costs more than the server's answers to it
        log.info("messages_sent", messages=sent)


def _tell(outcome: Outcome, *, ours: bool, counts: Counts, context: CycleContext) -> None:
    tried, message = outcome.tried, outcome.checked.message
    if tried.fault is not None and tried.fault.unknown:
        POSSIBLE_REPEATS.inc()
    if not ours:
        log.warning("outcome_fenced", message=message.pk)
        return
    if outcome.checked.channel is not None:
        seconds = (tried.ended_at - tried.started_at).total_seconds()
        SENDING_SECONDS.labels(kind=outcome.checked.channel.kind).observe(seconds)
    if tried.fault is None:
        counts.add("sent", context.cadence)
        late = (tried.ended_at - message.due_at).total_seconds()
        LATENESS_SECONDS.labels(cadence=context.cadence).observe(max(0.0, late))
        return
    ended = outcome.then.state == State.FAILED
    counts.add("failed" if ended else "retried", context.cadence)
    _tell_fault(outcome, tried.fault, ended=ended)


def _tell_fault(outcome: Outcome, fault: TransportError, *, ended: bool) -> None:
    message = outcome.checked.message
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
