"""Messages, users and channels as a cycle needs them: the instance of a model costs ten times as much."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from accounts.models import secrets_at
from alerting.cycle.any_of import array_of
from alerting.cycle.prepared import by_index, prepared_run
from alerting.models import WORDS, Message

# More than all but the longest digests take. The words of a larger message are read when its own step asks for them,
# so that a row that does not fit into our memory costs no other message anything.
MOST_BYTES_TOGETHER = 256 * 1024


@dataclass(slots=True, eq=False, weakref_slot=True)
class MessageRow:
    """A message that is held. Its words are made while it is prepared. `large`: it has some, which are not read yet."""

    pk: int
    organisation_id: int
    user_id: int
    channel_id: int
    lane: str
    kind: str
    message_id: str
    due_at: datetime
    expires_at: datetime
    attempts_made: int
    reason: str
    subject: str = ""
    text: str = ""
    html: str = ""
    large: bool = False

    @property
    def is_written(self) -> bool:
        """Whether an attempt before this one has fixed its words."""
        return self.large or bool(self.subject)

    def words_read(self) -> None:
        """Those of a large one. Raises what the database does, and `MemoryError`."""
        self.subject, self.text, self.html = Message.objects.values_list(*WORDS).get(pk=self.pk)
        self.large = False


class UserRow(NamedTuple):
    """Whom a message is for. `organisation`: its name, or ""."""

    pk: int
    is_active: bool
    time_zone: str
    date_format: str
    organisation: str


class ChannelRow(NamedTuple):
    """The way that a message takes."""

    pk: int
    kind: str
    name: str
    address: str
    is_verified: bool
    is_disabled: bool
    disabled_reason: str
    secret: str
    old_secret: str
    old_secret_until: datetime | None

    def secrets_at(self, now: datetime) -> tuple[str, ...]:
        return secrets_at(now, self.secret, self.old_secret, self.old_secret_until)


# In the order of the fields of `MessageRow`.
_MESSAGE = """
    SELECT m.id, organisation_id, user_id, channel_id, lane, kind, m.message_id, due_at, expires_at, attempts_made,
           reason
"""
# The length of the words stands at their beginning: however large they are, the server reads no more of them.
_FIT = f"({' + '.join(f'octet_length({name})' for name in WORDS)} <= {MOST_BYTES_TOGETHER})"
# Not as joins, and `OFFSET 0` is what keeps the planner from making one: in a new database it takes messages and leases
# for few, and would go through all of one for each of the other.
_HELD = """
    FROM unnest(%s::bigint[]) AS key(id) CROSS JOIN LATERAL (
        SELECT * FROM alerting_message WHERE alerting_message.id = key.id OFFSET 0
    ) m WHERE (SELECT l.token FROM alerting_lease l WHERE l.message_id = m.id) = %s
"""
_USUAL = f"{_MESSAGE}, {', '.join(WORDS)} {_HELD} AND {_FIT} ORDER BY next_attempt_at, m.id"
_LARGE = f"{_MESSAGE}, '', '', '', true {_HELD} ORDER BY next_attempt_at, m.id"
_USERS = """
    SELECT u.id, u.deleted_at IS NULL, u.time_zone, u.date_format, coalesce(o.name, '')
    FROM accounts_user u LEFT JOIN accounts_organisation o ON o.id = u.organisation_id WHERE u.id = ANY(%s::bigint[])
"""
_CHANNELS = """
    SELECT id, kind, name, address, verified_at IS NOT NULL, disabled_at IS NOT NULL, disabled_reason,
           secret, old_secret, old_secret_until
    FROM accounts_channel WHERE id = ANY(%s::bigint[])
"""


def message_rows(keys: Iterable[int], token: UUID) -> list[MessageRow]:
    """Those of usual size that the claim still holds, in the order in which they were due."""
    return _message_rows(_USUAL, keys, token)


def large_message_rows(keys: Iterable[int], token: UUID) -> list[MessageRow]:
    """Those that the claim still holds, however large: without their words."""
    return _message_rows(_LARGE, keys, token)


def _message_rows(query: str, keys: Iterable[int], token: UUID) -> list[MessageRow]:
    with by_index():
        found = prepared_run(query, [array_of(keys), token])
    return [MessageRow(*row) for row in found]


def user_rows(keys: Iterable[int]) -> dict[int, UserRow]:
    """Those that there are, by key."""
    return {row[0]: UserRow._make(row) for row in prepared_run(_USERS, [array_of(keys)])}


def channel_rows(keys: Iterable[int]) -> dict[int, ChannelRow]:
    """Those that there are, by key."""
    return {row[0]: ChannelRow._make(row) for row in prepared_run(_CHANNELS, [array_of(keys)])}
