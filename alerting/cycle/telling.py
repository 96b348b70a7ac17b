"""Say what came of an attempt, once it is in the database: log, metrics, incidents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import structlog

from alerting.cycle.context import CycleContext
from alerting.cycle.counts import LATENESS_SECONDS, POSSIBLE_REPEATS, SENDING_SECONDS, Counts
from alerting.cycle.outcomes import Outcome
from alerting.cycle.tried import Tried
from alerting.models import ErrorKind, State
from alerting.transports import TransportError
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)


# A log line costs as much as three mails on the wire, so those sent share one. It is written at the latest with the
# first outcome after a second, or when the cycle has nothing more in hand.
_SENT_IN_A_LINE = 100
_LINE_AFTER_SECONDS = 1.0


class Telling:
    """Tells of outcomes as they are written. One thread uses it."""

    def __init__(self, counts: Counts, context: CycleContext) -> None:
        self._counts = counts
        self._context = context
        self._sent: list[int] = []
        self._line_at = 0.0  # monotonic seconds

    def outcomes_tell(self, outcomes: Sequence[Outcome], *, ours: Collection[int]) -> None:
        """`ours`: messages whose claim still held when their outcome was written."""
        sent: list[Outcome] = []
        for each in outcomes:
            if each.tried.fault is None and each.message_id in ours:
                sent.append(each)
            else:
                _tell(each, ours=each.message_id in ours, counts=self._counts, context=self._context)
        if sent:
            self._tell_sent(sent)

    def sent_log(self) -> None:
        """The line about what was sent since the last one."""
        if self._sent:
            log.info("messages_sent", messages=self._sent)
            self._sent = []

    def _tell_sent(self, sent: Sequence[Outcome]) -> None:
        context, now = self._context, self._context.monotonic()
        self._counts.add("sent", context.cadence, len(sent))
        _observe_sending(sent)
        late = LATENESS_SECONDS.labels(cadence=context.cadence)
        for each in sent:
            late.observe(max(0.0, (each.tried.ended_at - each.checked.message.due_at).total_seconds()))
        if not self._sent:
            self._line_at = now + _LINE_AFTER_SECONDS
        self._sent += [each.message_id for each in sent]
        if len(self._sent) >= _SENT_IN_A_LINE or now >= self._line_at:
            self.sent_log()


def _observe_sending(outcomes: Sequence[Outcome]) -> None:
    kinds: defaultdict[str, list[Tried]] = defaultdict(list)
    for each in outcomes:
        if each.checked.channel is not None:
            kinds[each.checked.channel.kind].append(each.tried)
    for kind, several in kinds.items():
        seconds = SENDING_SECONDS.labels(kind=kind)  # looked up once
        for tried in several:
            seconds.observe((tried.ended_at - tried.started_at).total_seconds())


def _tell(outcome: Outcome, *, ours: bool, counts: Counts, context: CycleContext) -> None:
    """What was not sent, or may have been sent by somebody else too."""
    fault, message = outcome.tried.fault, outcome.checked.message
    if fault is not None and fault.unknown:
        POSSIBLE_REPEATS.inc()
    if not ours:
        log.warning("outcome_fenced", message=message.pk)
        return
    _observe_sending([outcome])
    if fault is not None:
        ended = outcome.then.state == State.FAILED
        counts.add("failed" if ended else "retried", context.cadence)
        _tell_fault(outcome, fault, ended=ended)


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
            summary=f"{fault} {'That was its last attempt' if ended else 'It is tried again'}; all others went on.",
            error=fault.__cause__,
            details=details,
        )
    elif fault.kind == ErrorKind.CONFIGURATION:
        incident_report(
            kind="message_refused_for_our_setup",
            summary=f"Messages are refused for our own setup: {fault} They wait, burn no attempts and come again.",
            fingerprint=f"message_refused_for_our_setup:{fault.answer[:9]}",  # by code and enhanced code
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
