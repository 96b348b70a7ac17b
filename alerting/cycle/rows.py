"""Messages, users and channels as a cycle needs them: the instance of a model costs ten times as much."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from accounts.models import secrets_at
from alerting.cycle.prepared import prepared_run
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
_HELD = "FROM alerting_message m JOIN alerting_lease l ON l.message_id = m.id WHERE m.id = ANY(%s) AND l.token = %s"
_USUAL = f"{_MESSAGE}, {', '.join(WORDS)} {_HELD} AND {_FIT} ORDER BY next_attempt_at, id"
_LARGE = f"{_MESSAGE}, '', '', '', true {_HELD} ORDER BY next_attempt_at, id"
_USERS = """
    SELECT u.id, u.deleted_at IS NULL, u.time_zone, u.date_format, coalesce(o.name, '')
    FROM accounts_user u LEFT JOIN accounts_organisation o ON o.id = u.organisation_id WHERE u.id = ANY(%s)
"""
_CHANNELS = """
    SELECT id, kind, name, address, verified_at IS NOT NULL, disabled_at IS NOT NULL, disabled_reason,
           secret, old_secret, old_secret_until
    FROM accounts_channel WHERE id = ANY(%s)
"""


def message_rows(keys: Iterable[int], token: UUID) -> list[MessageRow]:
    """Those of usual size that the claim still holds, in the order in which they were due."""
    return [MessageRow(*row) for row in prepared_run(_USUAL, [list(keys), token])]


def large_message_rows(keys: Iterable[int], token: UUID) -> list[MessageRow]:
    """Those that the claim still holds, however large: without their words."""
    return [MessageRow(*row) for row in prepared_run(_LARGE, [list(keys), token])]


def user_rows(keys: Iterable[int]) -> dict[int, UserRow]:
    """Those that there are, by key."""
    return {row[0]: UserRow._make(row) for row in prepared_run(_USERS, [list(keys)])}


def channel_rows(keys: Iterable[int]) -> dict[int, ChannelRow]:
    """Those that there are, by key."""
    return {row[0]: ChannelRow._make(row) for row in prepared_run(_CHANNELS, [list(keys)])}
