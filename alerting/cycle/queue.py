"""The queue: claims by lease and token on the rows of `Message`.

A claim is one statement, so two workers can never hold the same row. The token fences every later write: whoever
lost the lease writes nothing. What is claimed is fair between organisations: no flood of one holds up another.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction

from alerting.messages import MESSAGES_WAITING, message_new
from alerting.models import Message, Notification, State

__all__ = [
    "DEATHS_TO_QUARANTINE",
    "Claim",
    "claim",
    "message_new",
    "reap",
    "release",
    "senders_wake",
]

# Three workers that died with nothing but this message in hand: it is the message.
DEATHS_TO_QUARANTINE = 3

# Organisations that have something due: a loose walk over the index `message_pending`, one probe for each.
_DUE_ORGANISATIONS = """
    SELECT o.id, first.next_attempt_at FROM accounts_organisation o CROSS JOIN LATERAL (
        SELECT m.next_attempt_at FROM alerting_message m {and_channel}
        WHERE m.organisation_id = o.id AND {due} ORDER BY m.next_attempt_at LIMIT 1
    ) first ORDER BY first.next_attempt_at LIMIT %(limit)s
"""
_DUE = """m.state = 'pending' AND m.next_attempt_at <= %(now)s AND m.kind = ANY(%(kinds)s)
        AND m.deaths {deaths} AND NOT c.kind = ANY(%(paused)s)"""
_AND_CHANNEL = "JOIN accounts_channel c ON c.id = m.channel_id"
_CLAIM = """
    UPDATE alerting_message SET state = 'claimed', claim_token = %(token)s, lease_until = %(lease_until)s
    FROM (
        SELECT taken.id FROM unnest(%(organisations)s::bigint[]) AS o(id) CROSS JOIN LATERAL (
            SELECT m.id, m.next_attempt_at FROM alerting_message m {and_channel}
            WHERE m.organisation_id = o.id AND {due} ORDER BY m.next_attempt_at, m.id
            LIMIT %(share)s FOR UPDATE OF m SKIP LOCKED
        ) taken ORDER BY taken.next_attempt_at LIMIT %(limit)s
    ) AS due
    WHERE alerting_message.id = due.id RETURNING alerting_message.id
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker holds until `lease_until`."""

    token: UUID
    lease_until: datetime
    message_ids: tuple[int, ...]


def claim(
    *,
    kinds: Sequence[str],
    limit: int,
    now: datetime,
    lease: timedelta,
    paused: Collection[str] = (),
    suspects: bool = False,
) -> Claim:
    """Take up to `limit` due messages of these kinds, the same share for each organisation.

    `paused`: kinds of channel that wait. With `suspects` only messages during which a worker died, else none of them:
    the caller takes those one at a time.
    """
    token, lease_until = uuid4(), now + lease
    taken: list[int] = []
    values: dict[str, Any] = {
        "now": now,
        "kinds": [str(kind) for kind in kinds],
        "paused": [str(kind) for kind in paused],
        "token": token,
        "lease_until": lease_until,
    }
    due = _DUE.format(deaths="> 0" if suspects else "= 0")
    with connection.cursor() as cursor:
        while len(taken) < limit:
            wanted = limit - len(taken)
            cursor.execute(_DUE_ORGANISATIONS.format(due=due, and_channel=_AND_CHANNEL), values | {"limit": wanted})
            organisations = [row[0] for row in cursor.fetchall()]
            if not organisations:
                break
            share = -(-wanted // len(organisations))
            cursor.execute(
                _CLAIM.format(due=due, and_channel=_AND_CHANNEL),
                values | {"organisations": organisations, "share": share, "limit": wanted},
            )
            found = [row[0] for row in cursor.fetchall()]
            if not found:  # another worker has them
                break
            taken += found
    return Claim(token, lease_until, tuple(sorted(taken)))


def release(claimed: Claim, message_ids: Collection[int] | None = None) -> int:
    """Give back what was not tried: pending again, as due as before. Returns how many were still ours."""
    keys = claimed.message_ids if message_ids is None else tuple(message_ids)
    return Message.objects.filter(pk__in=keys, claim_token=claimed.token).update(
        state=State.PENDING, claim_token=None, lease_until=None
    )


@dataclass(frozen=True, slots=True)
class Reaped:
    """What became of leases that ran out."""

    returned: tuple[int, ...]
    quarantined: tuple[int, ...]


@transaction.atomic
def reap(*, now: datetime, limit: int = 500) -> Reaped:
    """Take back claims whose lease ran out: their worker died, or hangs. Each costs its message a death.

    A message with deaths is claimed alone, so further deaths are its own: after three it is quarantined.
    """
    expired = list(
        Message.objects.select_for_update(skip_locked=True)
        .filter(state=State.CLAIMED, lease_until__lt=now)
        .order_by("lease_until")[:limit]
    )
    returned, quarantined = [], []
    for message in expired:
        message.deaths += 1
        message.claim_token = message.lease_until = None
        # the first death may have been a neighbour's fault
        if message.deaths > DEATHS_TO_QUARANTINE:
            message.state = State.QUARANTINED
            message.reason = (
                f"The sending process died {message.deaths} times with this message in hand. "
                "It is kept apart so that nothing else waits for it."
            )
            quarantined.append(message.pk)
        else:
            message.state = State.PENDING
            returned.append(message.pk)
    Message.objects.bulk_update(expired, ["state", "reason", "deaths", "claim_token", "lease_until"])
    for message in expired:
        if message.state == State.QUARANTINED:
            Notification.objects.filter(message=message, state=State.PENDING).update(
                state=State.QUARANTINED, reason=message.reason
            )
    return Reaped(tuple(returned), tuple(quarantined))


def senders_wake(deployment: str) -> None:
    """Tell the senders (realtime or digest) that something waits; heard when the transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [MESSAGES_WAITING, deployment])
