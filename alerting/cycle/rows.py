"""Users and channels as a cycle needs them. Tuples: the instance of a model costs ten times as much."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from accounts.models import secrets_at
from alerting.cycle.prepared import prepared_run


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


_USERS = """
    SELECT u.id, u.deleted_at IS NULL, u.time_zone, u.date_format, coalesce(o.name, '')
    FROM accounts_user u LEFT JOIN accounts_organisation o ON o.id = u.organisation_id WHERE u.id = ANY(%s)
"""
_CHANNELS = """
    SELECT id, kind, name, address, verified_at IS NOT NULL, disabled_at IS NOT NULL, disabled_reason,
           secret, old_secret, old_secret_until
    FROM accounts_channel WHERE id = ANY(%s)
"""


def user_rows(keys: Iterable[int]) -> dict[int, UserRow]:
    """Those that there are, by key."""
    return {row[0]: UserRow._make(row) for row in prepared_run(_USERS, [list(keys)])}


def channel_rows(keys: Iterable[int]) -> dict[int, ChannelRow]:
    """Those that there are, by key."""
    return {row[0]: ChannelRow._make(row) for row in prepared_run(_CHANNELS, [list(keys)])}
