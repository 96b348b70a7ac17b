"""The queue: the rows of `Message` that are due, and leases on those that a worker holds.

A claim locks messages, passing over what others lock, and then makes a lease for each that has none: two workers can
never hold the same message. The lease's token fences every later write: whoever lost the lease writes nothing. What is
claimed is fair between organisations and kinds of channel: no flood holds up others.

In a transaction leases come before messages and messages before notifications, except in `claim`, which waits for
nobody: only who has locked a message makes a lease for it.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from alerting.cycle.any_of import array_of
from alerting.cycle.prepared import by_index, prepared_run
from alerting.messages import MESSAGES_WAITING, message_new
from alerting.models import WORDS, Death, Lease, Message, Notification, State
from alerting.transports.contract import Clock

__all__ = [
    "DEATHS_TO_QUARANTINE",
    "Claim",
    "claim",
    "message_new",
    "oldest_due",
    "put_off",
    "reap",
    "reap_worker",
    "release",
    "senders_wake",
    "suspects_wait",
]

# Three workers that died with nothing but this message in hand: it is the message.
DEATHS_TO_QUARANTINE = 3

# One probe of the index for each organisation. `lane` is the statement's around it.
_HEADS = """
    SELECT o.id, first.next_attempt_at FROM accounts_organisation o CROSS JOIN LATERAL (
        SELECT m.next_attempt_at FROM alerting_message m
        WHERE m.lane = lane.name AND m.organisation_id = o.id AND {due} ORDER BY m.next_attempt_at LIMIT 1
    ) first ORDER BY {order}
"""
_OLDEST_FIRST, _IN_TURN = "first.next_attempt_at", "o.id <= lane.served, o.id"
_OLDEST = f"""
    SELECT min(head.next_attempt_at)
    FROM unnest(%(lanes)s::text[]) AS lane(name) CROSS JOIN LATERAL ({_HEADS} LIMIT 1) head
"""  # noqa: S608 (all of it our own text)
# A lane's room is shared by the organisations that have something: the first of each, then the second, until it is
# full. Of more organisations than it has room for those come first that follow the one served last, so that a single
# message waits for no backlog, of however many. Rows are looked for where the probe ended: before it the index may hold
# a hundred thousand rows that have left, until a vacuum.
_FIND = f"""
    WITH due AS MATERIALIZED (
        SELECT lane.name, lane.room, head.id, head.next_attempt_at,
            ceil(lane.room::numeric / count(*) OVER (PARTITION BY lane.name))::bigint AS share
        FROM unnest(%(lanes)s::text[], %(rooms)s::bigint[], %(served)s::bigint[]) AS lane(name, room, served)
        CROSS JOIN LATERAL ({_HEADS} LIMIT lane.room) head
    )
    SELECT chosen.id, chosen.name, chosen.owner FROM (SELECT DISTINCT name, room FROM due) filled CROSS JOIN LATERAL (
        SELECT held.id, due.name, due.id AS owner, held.next_attempt_at FROM due CROSS JOIN LATERAL (
            SELECT own.*, row_number() OVER (ORDER BY own.next_attempt_at) AS turn FROM (
                SELECT m.id, m.next_attempt_at FROM alerting_message m
                WHERE m.lane = due.name AND m.organisation_id = due.id
                AND m.next_attempt_at >= due.next_attempt_at AND {{due}} ORDER BY m.next_attempt_at
                LIMIT due.share FOR NO KEY UPDATE SKIP LOCKED
            ) own
        ) held WHERE due.name = filled.name ORDER BY held.turn, held.next_attempt_at LIMIT filled.room
    ) chosen ORDER BY chosen.next_attempt_at LIMIT %(limit)s
"""  # noqa: S608
# Not as a join: the planner may think that nothing is held, and go through all leases for each message.
_FREE = "(SELECT held.message_id FROM alerting_lease held WHERE held.message_id = m.id) IS NULL"
# Asked once more: it sees the leases of whoever had locked a message shortly before us.
_LEASE = f"""
    INSERT INTO alerting_lease (message_id, token, until, worker)
    SELECT m.id, %s, clock_timestamp() + %s, %s FROM unnest(%s::bigint[]) AS m(id) WHERE {_FREE} RETURNING message_id
"""  # noqa: S608
_DUE = f"m.state = 'pending' AND m.next_attempt_at <= %(now)s AND m.deaths {{deaths}} AND {_FREE}"


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker holds. `ends_at`: of its own monotonic seconds, a little before the lease does. `by_lane`: how
    many of each lane were taken."""

    token: UUID
    ends_at: float
    message_ids: tuple[int, ...]
    by_lane: Mapping[str, int] = field(default_factory=dict, compare=False)


def claim(
    *,
    rooms: Mapping[str, int],
    now: datetime,
    lease: timedelta,
    worker: str,
    only_one: bool = False,
    suspects: bool = False,
    served: MutableMapping[str, int] | None = None,
    monotonic: Clock = time.monotonic,
) -> Claim:
    """Take due messages of these lanes, of each at most as many as it has room for: the same share for each
    organisation. `only_one`: a single message, the oldest of all lanes.

    `served`: the organisation that was served last in each lane, from one claim to the next; kept up here.

    Leases run by the database's clock: those of several machines may differ, and a claim that another machine takes
    for ended is sent twice. `worker`: a name that no other process has; its claims are ended when it is seen to die.
    With `suspects` only messages during which a worker died, else none of them: the caller takes those one at a time.
    """
    token, ends_at = uuid4(), monotonic() + lease.total_seconds()
    due = _DUE.format(deaths="> 0" if suspects else "= 0")
    statement = _FIND.format(due=due, order=_OLDEST_FIRST if only_one else _IN_TURN)
    served = {} if served is None else served
    taken: list[int] = []
    by_lane: Counter[str] = Counter()
    left = dict(rooms)
    with by_index():
        while left:
            limit = 1 if only_one else sum(left.values())
            asked = {"lanes": list(left), "rooms": list(left.values()), "limit": limit, "now": now}
            rows = prepared_run(statement, asked | {"served": [served.get(lane, 0) for lane in left]})
            if not rows:
                break
            found = {message: lane for message, lane, _ in rows}
            ours = [row[0] for row in prepared_run(_LEASE, [token, lease, worker[:200], array_of(found)])]
            taken += ours
            seen, now_taken = Counter(found.values()), Counter(found[message] for message in ours)
            by_lane += now_taken
            if not only_one:
                _note_served(served, rows, ours=frozenset(ours))
                # again where something was found, perhaps of another by now: what comes after it is due as well
                left = {
                    lane: room - now_taken[lane] for lane, room in left.items() if seen[lane] and now_taken[lane] < room
                }
            elif ours:
                break
    return Claim(token, ends_at, tuple(sorted(taken)), by_lane)


def _note_served(
    served: MutableMapping[str, int], rows: Iterable[tuple[int, str, int]], *, ours: Collection[int]
) -> None:
    """`rows`: message, lane and organisation; only those count that became ours."""
    owners: defaultdict[str, set[int]] = defaultdict(set)
    for message, lane, owner in rows:
        if message in ours:
            owners[lane].add(owner)
    for lane, theirs in owners.items():
        served[lane] = _last_in_turn(theirs, after=served.get(lane, 0))


def _last_in_turn(owners: Collection[int], *, after: int) -> int:
    """As `_IN_TURN` orders them: those with a greater key, then round again."""
    return max(owners, key=lambda owner: (owner <= after, owner))


def suspects_wait(*, lanes: Sequence[str], now: datetime) -> bool:
    """Whether a message of these lanes is due during which a worker died."""
    with by_index():
        return _oldest("> 0", lanes=lanes, now=now) is not None


def oldest_due(*, lanes: Sequence[str], now: datetime) -> datetime | None:
    """Since when the message of these lanes that has waited longest could have been claimed."""
    with by_index():
        found = [_oldest(deaths, lanes=lanes, now=now) for deaths in ("= 0", "> 0")]
    return min(filter(None, found), default=None)


def _oldest(deaths: str, *, lanes: Sequence[str], now: datetime) -> datetime | None:
    statement = _OLDEST.format(due=_DUE.format(deaths=deaths), order=_OLDEST_FIRST)
    ((oldest,),) = prepared_run(statement, {"lanes": list(lanes), "now": now})
    return cast("datetime | None", oldest)


def release(token: UUID, messages: Collection[int]) -> int:
    """Give up these leases; the messages are as due as before. Returns how many were still ours."""
    given_up, _ = Lease.objects.filter(pk__in=messages, token=token).delete()
    return given_up


@transaction.atomic
def put_off(token: UUID, message: int, *, until: datetime) -> bool:
    """Give one back that is to come again later; no attempt is counted. False if it was no longer ours."""
    if not release(token, [message]):
        return False
    Message.objects.filter(pk=message).update(next_attempt_at=until)
    return True


@dataclass(frozen=True, slots=True)
class Reaped:
    """What became of the claims of dead workers."""

    returned: tuple[int, ...]
    quarantined: tuple[int, ...]


def reap(*, now: datetime, but: Collection[str] = (), limit: int = 500) -> Reaped:
    """Take back claims whose lease ran out by the database's clock: their worker died, or hangs. `but`: workers of
    which it is not known yet what was accepted."""
    ended = Lease.objects.filter(until__lt=Now()).exclude(worker__in=list(but))
    return _take_back(ended, now=now, cause="its lease ran out", limit=limit)


def reap_worker(*, worker: str, cause: str, now: datetime, limit: int = 5000) -> Reaped:
    """Take back the claims of a worker that is known to be dead: nobody waits for its leases."""
    return _take_back(Lease.objects.filter(worker=worker[:200]), now=now, cause=cause, limit=limit)


@transaction.atomic
def _take_back(leases: QuerySet[Lease], *, now: datetime, cause: str, limit: int) -> Reaped:
    """Each lease costs its message a death. A message with deaths is claimed alone, so further deaths are its own:
    after three of those it is quarantined."""
    held = {lease.pk: lease for lease in leases.select_for_update(skip_locked=True).order_by("until")[:limit]}
    # without the words: the message that filled its worker's memory must not fill ours
    locked = list(Message.objects.select_for_update(skip_locked=True, no_key=True).defer(*WORDS).filter(pk__in=held))
    Lease.objects.filter(pk__in=[each.pk for each in locked]).delete()
    ended = [each for each in locked if each.state == State.PENDING]
    Death.objects.bulk_create(
        Death(message=each, worker=held[each.pk].worker, alone=each.deaths > 0, cause=cause, noticed_at=now)
        for each in ended
    )
    quarantined = [each for each in ended if each.deaths >= DEATHS_TO_QUARANTINE]
    for each in ended:
        each.deaths += 1
    for each in quarantined:
        each.state = State.QUARANTINED
        each.reason = (
            f"The sending process died {each.deaths} times with this message in hand. "
            "It is kept apart so that nothing else waits for it."
        )
    Message.objects.bulk_update(ended, ["state", "reason", "deaths"], batch_size=500)
    for each in quarantined:
        Notification.objects.filter(message=each, state=State.PENDING).update(
            state=State.QUARANTINED, reason=each.reason
        )
    apart = {each.pk for each in quarantined}
    return Reaped(tuple(each.pk for each in ended if each.pk not in apart), tuple(apart))


def senders_wake(deployment: str) -> None:
    """Tell the senders (realtime or digest) that something waits; heard when the transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [MESSAGES_WAITING, deployment])
