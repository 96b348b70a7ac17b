"""Messages that do not get on: a queue that stands still, and a server that puts everything off."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max, Sum

from accounts.models import ChannelKind
from alerting.cycle.context import DIGEST, REALTIME
from alerting.cycle.queue import oldest_due
from alerting.cycle.ways_out import kinds_shut
from alerting.models import Attempt, Message, SendCycleRun, State, lane_name
from resilience.incidents import incident_clear, incident_report

OVERDUE_AFTER = timedelta(minutes=1)
_OVERDUE, _DELAYED = "messages_overdue", "messages_delayed"

# With three put off and none accepted it is hardly the recipients.
PUT_OFF_WITHIN = timedelta(minutes=5)
PUT_OFF_LEAST = 3


def overdue_step(*, now: datetime) -> float:
    """A queue that does not move is an incident, even while its workers give signs of life. Returns seconds late."""
    oldest = oldest_due(lanes=_open_lanes(), now=now)
    late = timedelta(0) if oldest is None else now - oldest
    if late <= OVERDUE_AFTER:
        incident_clear(fingerprint=_OVERDUE, by="housekeeping", now=now)
    else:
        incident_report(
            kind="messages_overdue",
            summary=f"The oldest message that is due waits for {int(late.total_seconds())} s already.",
            severity="critical",
            fingerprint=_OVERDUE,
            details={"late_seconds": int(late.total_seconds())},
        )
    return late.total_seconds()


def put_off_step(*, now: datetime) -> int:
    """Attempts that fail are tried again later, which nobody hears of: where none succeeds any more, or a message is
    late in spite of its attempts, somebody must. Returns how many messages are late."""
    for cadence in (REALTIME, DIGEST):
        _nothing_accepted(cadence, now=now)
    late = Message.objects.filter(
        state=State.PENDING, attempts_made__gt=0, due_at__lt=now - settings.LATE_AFTER, lane__in=_open_lanes()
    )
    number = late.count()
    if number:
        incident_report(
            kind="messages_delayed",
            summary=f"Tried and not delivered, {number} late: {_last_fault(late.values_list('pk', flat=True)[:100])}",
            severity="warning",
            fingerprint=_DELAYED,
            details={"messages": list(late.order_by("due_at").values_list("pk", flat=True)[:20])},
        )
    else:
        incident_clear(fingerprint=_DELAYED, by="housekeeping", now=now)
    return number


def _nothing_accepted(cadence: str, *, now: datetime) -> None:
    """Since the last cycle that sent something, within reason."""
    runs = SendCycleRun.objects.filter(cadence=cadence, started_at__gt=now - PUT_OFF_WITHIN)
    accepted_at = runs.filter(sent__gt=0).aggregate(at=Max("started_at"))["at"]
    since = runs if accepted_at is None else runs.filter(started_at__gt=accepted_at)
    put_off = since.aggregate(number=Sum("retried", default=0))["number"]
    fingerprint = f"nothing_accepted:{cadence}"
    if put_off >= PUT_OFF_LEAST:
        incident_report(
            kind="nothing_accepted",
            summary=f"None of the last {put_off} {cadence} messages was accepted; they are tried again. "
            f"The last answer: {_last_fault()}",
            fingerprint=fingerprint,
            details={"cadence": cadence, "put_off": put_off},
        )
    elif accepted_at is not None:
        incident_clear(fingerprint=fingerprint, by="housekeeping", now=now)


def _last_fault(messages: Iterable[int] | None = None) -> str:
    faults = Attempt.objects.exclude(outcome=Attempt.Outcome.SENT)
    if messages is not None:
        faults = faults.filter(message__in=list(messages))
    return faults.order_by("-pk").values_list("error", flat=True).first() or "unknown"


def _open_lanes() -> list[str]:
    """All but those whose way out is shut, which is an incident of its own."""
    shut = kinds_shut()
    kinds = [kind for kind in ChannelKind.values if kind not in shut]
    return [lane_name(cadence=cadence, channel_kind=kind) for cadence in (REALTIME, DIGEST) for kind in kinds]
