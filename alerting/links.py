"""The links in messages: signed where they act without a sign-in, and read back here by the pages behind them.

Paths are named by `alerting`'s and `accounts`' pages; the names stand in `PATHS` so that both sides agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from django.conf import settings
from django.core import signing

from accounts.models import Channel
from alerting.models import Notification, Subscription

# Where the pages are; `{token}` and `{pk}` are filled in.
PATHS = {
    "home": "/",
    "history": "/notifications/",
    "notification": "/notifications/{pk}/",
    "unsubscribe": "/unsubscribe/{token}/",
    "channels": "/channels/",
    "channel_verify": "/channels/verify/{token}/",
}
UNSUBSCRIBE_SALT = "watchkeeper.unsubscribe"
CHANNEL_SALT = "watchkeeper.channel"
VERIFY_WITHIN = timedelta(days=7)


class LinkFault(Exception):
    """The link is damaged, or too old."""


@dataclass(frozen=True, slots=True)
class UnsubscribeLink:
    """What an unsubscribe link asks for, and in which message it stands (None: unknown).

    Mail scanners follow links at once: a page may submit itself only some minutes after its message was sent.
    """

    user_id: int
    subscription_ids: tuple[int, ...]
    message_id: int | None


@dataclass(frozen=True, slots=True)
class ChannelLink:
    """The channel that a verification link proves, as its address was when the link was made."""

    channel_id: int
    address: str


def _absolute(name: str, **parts: object) -> str:
    path = PATHS[name].format(**{key: quote(str(part), safe=":") for key, part in parts.items()})
    return f"{settings.PUBLIC_URL}{path}"


def home_url() -> str:
    return _absolute("home")


def history_url() -> str:
    """The user's own list of notifications; needs a sign-in."""
    return _absolute("history")


def channels_url() -> str:
    """Where a user's channels are listed and confirmed."""
    return _absolute("channels")


def notification_url(notification: Notification) -> str:
    """The notification's page; needs a sign-in."""
    return _absolute("notification", pk=notification.pk)


def unsubscribe_url(
    subscription: Subscription | Iterable[Subscription], *, user_id: int, message_id: int | None = None
) -> str:
    """A link that ends one subscription, or all that a digest or summary came from, without a sign-in.

    `message_id`: the primary key of the message that it stands in.
    """
    several = [subscription] if isinstance(subscription, Subscription) else subscription
    said = [user_id, sorted({one.pk for one in several}), message_id]
    # compressed: the link stands in a header too, whose lines are limited
    return _absolute("unsubscribe", token=signing.dumps(said, salt=UNSUBSCRIBE_SALT, compress=True))


def unsubscribe_read(token: str) -> UnsubscribeLink:
    """What the link asks for. It never grows too old: an old mail must still let its reader out.

    Raises `LinkFault`.
    """
    try:
        user_id, keys, *rest = signing.loads(token, salt=UNSUBSCRIBE_SALT)
        message_id = rest[0] if rest else None  # links of former versions name no message
        return UnsubscribeLink(int(user_id), tuple(int(key) for key in keys), message_id and int(message_id))
    except (signing.BadSignature, TypeError, ValueError) as fault:
        raise LinkFault("The link is damaged: copy it whole from the message.") from fault


def channel_verify_url(channel: Channel) -> str:
    """A link that proves that the channel's address reaches its owner; good for `VERIFY_WITHIN`."""
    return _absolute("channel_verify", token=signing.dumps([channel.pk, channel.address], salt=CHANNEL_SALT))


def channel_verify_read(token: str) -> ChannelLink:
    """The channel that the link proves; compare its address, which may have changed since.

    Raises `LinkFault`.
    """
    try:
        channel_id, address = signing.loads(token, salt=CHANNEL_SALT, max_age=VERIFY_WITHIN)
        return ChannelLink(int(channel_id), str(address))
    except signing.SignatureExpired as fault:
        raise LinkFault("The link is too old: ask for a new one on your profile.") from fault
    except (signing.BadSignature, TypeError, ValueError) as fault:
        raise LinkFault("The link is damaged: copy it whole from the message.") from fault
