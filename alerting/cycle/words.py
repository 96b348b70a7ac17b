"""What is written before a message leaves: its words, or an end that it comes to without an attempt.

Fenced by the lease, as outcomes are. A message's state and its notifications' states are one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from alerting.cycle.prepared import prepared_run
from alerting.cycle.queue import Claim, release
from alerting.cycle.recheck import Checked
from alerting.cycle.render import Written
from alerting.cycle.rows import MessageRow
from alerting.models import WORDS, Message, MessageKind, Notification, State

log = structlog.get_logger(__name__)

# %b: binary. In a text array psycopg quotes each string in Python, and as JSON the server reads each twice.
_WORDS = """
    WITH held AS (
        SELECT v.* FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::text[]) AS v(id, subject, text, html)
        JOIN alerting_lease l ON l.message_id = v.id WHERE l.token = %s FOR UPDATE OF l
    )
    UPDATE alerting_message m SET subject = held.subject, text = held.text, html = held.html
    FROM held WHERE m.id = held.id RETURNING m.id
"""


def words_fix(claimed: Claim, written: Sequence[Written]) -> frozenset[int]:
    """Keep the words of first attempts before they leave, and cancel what a re-check left out of them.

    Returns which messages are still ours; a message that is not must not be sent.
    """
    fresh = [one for one in written if one.fresh]
    ours: set[int] = set()
    if fresh:
        with transaction.atomic():
            ours = _keep([one.checked.message for one in fresh], claimed)
            for one in fresh:
                if one.checked.message.pk in ours:
                    _cancel_dropped(one.checked)
    return frozenset(ours | {one.checked.message.pk for one in written if not one.fresh})


def _keep(rows: Sequence[MessageRow], claimed: Claim) -> set[int]:
    columns = [[getattr(row, name) for row in rows] for name in ("pk", *WORDS)]
    return {row[0] for row in prepared_run(_WORDS, [*columns, claimed.token])}


@transaction.atomic
def end_record(checked: Checked, *, token: UUID) -> bool:
    """A message that the re-check ended without an attempt. False if it is no longer ours."""
    message = checked.message
    end = checked.end
    assert end is not None
    if not release(token, [message.pk]):
        log.warning("outcome_fenced", message=message.pk)
        return False
    Message.objects.filter(pk=message.pk).update(state=end, reason=checked.reason)
    _cancel_dropped(checked)
    dropped = [one.pk for one, _ in checked.dropped]
    _notifications(message).exclude(pk__in=dropped).update(state=end, reason=checked.reason)
    if end == State.STALE and message.kind == MessageKind.SUMMARY:
        Notification.objects.filter(summary=message.pk).update(summary=None)  # the next summary tells of them
    return True


def _notifications(message: MessageRow) -> Any:
    return Notification.objects.filter(message=message.pk, state=State.PENDING)


def _cancel_dropped(checked: Checked) -> None:
    for one, reason in checked.dropped:
        _notifications(checked.message).filter(pk=one.pk).update(state=State.CANCELLED, reason=reason)
