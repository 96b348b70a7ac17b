"""What a claim costs while a million messages wait, for each message that it takes, and what one costs that finds none.

A claim is fair between organisations, of which one has nearly all. What was claimed before is held meanwhile, as by two
workers, and then leaves outside of what is measured. The others are cases in which the rows that wait are not those
that are wanted: a claim must not read all of them first.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import Channel, Organisation, User
from alerting.cycle.outcomes import row_of, rows_write
from alerting.cycle.queue import Claim, claim
from alerting.cycle.tried import Tried
from alerting.messages import message_new
from alerting.models import Message, MessageKind
from benchmarks.frame import Case
from benchmarks.stage.databases import throw_away, used_here

PENDING = 1_000_000
SMALL_ORGANISATIONS, SMALL_SHARE = 200, 50
SIZES = (200, 500, 1000)  # what leaves in half a second on some way out; the last is the default of CLAIM_SIZE
CLAIMS = 20  # in one round
HELD = 4  # claims that are under way at any time
LANE = "realtime:email"
LANES = (LANE, "realtime:slack", "realtime:webhook")  # what a cycle asks for at once

_END_SMALL = """
    UPDATE alerting_message SET state = 'cancelled', reason = 'bench'
    WHERE state = 'pending' AND organisation_id <> (SELECT id FROM accounts_organisation WHERE slug = 'bench-0')
"""
# Copies of one message, whatever columns it has. The first channel's come first.
_COPIES = """
    INSERT INTO alerting_message ({columns})
    SELECT {values}
    FROM alerting_message m, (
        SELECT n, now() - interval '1 h' + n * interval '1 ms' AS due,
               (%(channels)s::bigint[])
                   [CASE WHEN n <= %(pending)s - %(small)s THEN 1 ELSE 2 + n %% %(others)s END] AS to_whom
        FROM generate_series(1, %(pending)s) AS n
    ) AS made JOIN accounts_channel c ON c.id = to_whom JOIN accounts_user u ON u.id = c.user_id
"""


def cases() -> Iterator[Case]:
    with (
        tempfile.TemporaryDirectory() as var,
        throw_away(settings.DATABASE_URL, "claim", var=Path(var)) as environment,
        used_here(environment),
    ):
        fill()
        several = f"{PENDING:,} wait, {SMALL_ORGANISATIONS} organisations"
        for size in SIZES:
            yield Case(case=f"{several}, {size:,} a claim", unit="µs/row", ours=partial(cost_of_rows, size=size))
        three = f"{several}, {SIZES[-1]:,} a claim, three kinds"
        yield Case(case=three, unit="µs/row", ours=partial(cost_of_rows, size=SIZES[-1], lanes=LANES))
        yield Case(case="none with a death", unit="ms/claim", ours=partial(cost_of_none, suspects=True))
        yield Case(
            case="all of a kind that pauses", unit="ms/claim", ours=partial(cost_of_none, lanes=("realtime:slack",))
        )
        yield Case(
            case="all of the other cadence", unit="ms/claim", ours=partial(cost_of_none, lanes=("digest:email",))
        )
        _execute(_END_SMALL)
        _execute("VACUUM ANALYZE alerting_message")
        for size in SIZES:
            one = f"{PENDING:,} wait, one organisation, {size:,} a claim"
            yield Case(case=one, unit="µs/row", ours=partial(cost_of_rows, size=size))


def fill() -> None:
    """The first organisation has all but a few; those of the others came last."""
    now = timezone.now()
    channels = [_channel(number, now=now) for number in range(SMALL_ORGANISATIONS + 1)]
    organisation_id = channels[0].user.organisation_id or 0
    pattern = message_new(
        organisation_id=organisation_id, channel=channels[0], kind=MessageKind.REALTIME, due_at=now, now=now
    )
    pattern.save()
    own = {
        "organisation_id": "u.organisation_id",
        "user_id": "u.id",
        "channel_id": "c.id",
        "message_id": "'<' || lpad(to_hex(n), 14, '0') || md5(n::text) || '@bench.example>'",
        "due_at": "due",
        "next_attempt_at": "due",
    }
    columns = [str(field.column) for field in Message._meta.concrete_fields if not field.primary_key]
    values = [own.get(column, f"m.{column}") for column in columns]
    _execute(
        _COPIES.format(columns=", ".join(columns), values=", ".join(values)),
        {
            "pending": PENDING,
            "small": SMALL_ORGANISATIONS * SMALL_SHARE,
            "others": SMALL_ORGANISATIONS,
            "channels": [channel.pk for channel in channels],
        },
    )
    pattern.delete()
    _execute("VACUUM ANALYZE")


def _channel(number: int, *, now: datetime) -> Channel:
    """Of an organisation of its own."""
    organisation = Organisation.objects.create(slug=f"bench-{number}", name=f"Bench {number}", time_zone="UTC")
    user = User.objects.create(organisation=organisation, email=f"{number}@bench.example", password="!")
    return Channel.objects.create(user=user, kind="email", name="mail", address=user.email, verified_at=now)


def cost_of_rows(*, size: int, lanes: Sequence[str] = (LANE,)) -> float:
    """Microseconds for each row of `CLAIMS` claims."""
    seconds = 0.0
    held: deque[Claim] = deque()
    for _ in range(CLAIMS):
        began = time.perf_counter()
        held.append(_claim(size, lanes=lanes))
        seconds += time.perf_counter() - began
        if (taken := len(held[-1].message_ids)) != size:
            raise RuntimeError(f"{taken} rows were claimed")
        if len(held) > HELD:
            _leave(held.popleft())
    for claimed in held:
        _leave(claimed)
    return seconds / (size * CLAIMS) * 1e6


def _leave(claimed: Claim) -> None:
    tried = Tried(timezone.now(), timezone.now(), "250 2.0.0 Ok: queued")
    rows_write([row_of(message, claimed.token, tried) for message in claimed.message_ids], worker="bench")


def cost_of_none(*, suspects: bool = False, lanes: Sequence[str] = (LANE,)) -> float:
    """Milliseconds of a claim that finds nothing."""
    began = time.perf_counter()
    if _claim(100, suspects=suspects, lanes=lanes).message_ids:
        raise RuntimeError("there was something to claim")
    return (time.perf_counter() - began) * 1e3


def _claim(room: int, *, suspects: bool = False, lanes: Sequence[str]) -> Claim:
    now = timezone.now()
    lease = timedelta(seconds=120)
    rooms = dict.fromkeys(lanes, room)
    return claim(rooms=rooms, now=now, lease=lease, worker="bench", suspects=suspects)


def _execute(query: str, values: Mapping[str, Any] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
