"""Checked again just before sending: does anybody still want this, and may it still be sent? Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from alerting.cycle.load import Loaded
from alerting.cycle.rows import ChannelRow, MessageRow, UserRow
from alerting.models import BARE_KINDS, MessageKind, Notification, State


class Checked(NamedTuple):
    """What may happen to a message. Without an `end` it is sent with the notifications in `wanted`."""

    message: MessageRow
    user: UserRow | None = None
    channel: ChannelRow | None = None
    wanted: tuple[Notification, ...] = ()
    dropped: tuple[tuple[Notification, str], ...] = ()  # cancelled by themselves, each with its reason
    end: State | None = None  # cancelled or stale
    reason: str = ""
    deleted_user: bool = False


def recheck(message: MessageRow, found: Loaded, *, now: datetime) -> Checked:
    """Steps: the message's own reasons to end first, then each notification's."""
    user, channel = found.users.get(message.user_id), found.channels.get(message.channel_id)
    if user is None or not user.is_active:
        return Checked(message, end=State.CANCELLED, reason="The user was deleted.", deleted_user=True)
    if channel is None:
        return Checked(message, user, end=State.CANCELLED, reason="The channel cannot be found.")
    if reason := _channel_reason(channel):
        return Checked(message, user, channel, end=State.CANCELLED, reason=reason)
    if message.expires_at <= now:
        return Checked(message, user, channel, end=State.STALE, reason=stale_reason(message.due_at, message.reason))
    if message.kind in BARE_KINDS:
        return Checked(message, user, channel)
    return _recheck_notifications(message, user, channel, found)


def stale_reason(due_at: datetime, said: str) -> str:
    """Why nobody got it in time, as its subscriber reads it. `said`: what the last attempt came to, or ""."""
    because = f" The last attempt said: {said}" if said else ""
    return f"It could not be sent in time: it was due {due_at:%Y-%m-%d %H:%M} UTC.{because}"


def _recheck_notifications(message: MessageRow, user: UserRow, channel: ChannelRow, found: Loaded) -> Checked:
    present = found.notifications.get(message.pk, [])
    reasons = [(one, _notification_reason(one, channel, found)) for one in present]
    if message.kind == MessageKind.SUMMARY:  # it tells of what was not sent: each of them is history
        reasons = [(one, "") for one in present]
    wanted = tuple(one for one, reason in reasons if not reason)
    dropped = tuple((one, reason) for one, reason in reasons if reason)
    if not wanted:
        reason = dropped[0][1] if dropped else "Nothing is left to tell."
        return Checked(message, user, channel, (), dropped, State.CANCELLED, reason)
    if message.is_written:
        # its words were fixed by the first attempt: it goes as it is, or not at all
        return Checked(message, user, channel, tuple(present))
    return Checked(message, user, channel, wanted, dropped)


def _channel_reason(channel: ChannelRow) -> str:
    if channel.is_disabled:
        return f"The channel is disabled: {channel.disabled_reason}"
    return "" if channel.is_verified else "The channel is not verified."


def _notification_reason(one: Notification, channel: ChannelRow, found: Loaded) -> str:
    subscription = one.subscription
    if subscription.deleted_at is not None or not subscription.active:
        return "The subscription was ended."
    if (subscription.pk, channel.pk) not in found.links:
        return "The subscription no longer uses this channel."
    if subscription.rule.archived_at is not None:
        return "The rule was archived."
    return "The event was taken back." if one.event.retracted_at is not None else ""
