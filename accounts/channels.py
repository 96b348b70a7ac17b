"""Adding channels and proving that they reach their owner."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import transaction
from django.template.loader import render_to_string

from accounts.models import Channel, ChannelKind, User

MOST_CHANNELS = 20  # of one user: each can make us send something to a stranger
OLD_SECRET_HOLDS = timedelta(hours=24)
_SECRET_BYTES = 32  # Standard Webhooks asks for 24 to 64

RandomBytes = Callable[[int], bytes]


@transaction.atomic
def channel_add(
    *,
    user: User,
    name: str,
    address: str,
    now: datetime,
    kind: ChannelKind = ChannelKind.EMAIL,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Channel:
    """A new channel, not verified yet; a webhook's has a secret. Raises `ValidationError`.

    Where a URL may lead is for its transport to say.
    """
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if user.channels.count() >= MOST_CHANNELS:
        raise ValidationError(f"You have {MOST_CHANNELS} channels already, which is the most.")
    if kind == ChannelKind.EMAIL:
        validate_email(address)
    channel = Channel(user=user, kind=kind, name=name, address=address, created_at=now)
    if kind == ChannelKind.WEBHOOK:
        channel.secret = new_secret(random_bytes)
    channel.full_clean()
    channel.save()
    return channel


def new_secret(random_bytes: RandomBytes = secrets.token_bytes) -> str:
    """In the form that libraries of Standard Webhooks take."""
    return "whsec_" + base64.b64encode(random_bytes(_SECRET_BYTES)).decode()


@transaction.atomic
def channel_secret_rotate(
    *, channel_id: int, now: datetime, random_bytes: RandomBytes = secrets.token_bytes
) -> Channel:
    """A new secret; what leaves is signed with the one before it, too, for `OLD_SECRET_HOLDS`."""
    channel = Channel.objects.select_for_update().get(pk=channel_id, kind=ChannelKind.WEBHOOK)
    channel.old_secret, channel.secret = channel.secret, new_secret(random_bytes)
    channel.old_secret_until = now + OLD_SECRET_HOLDS if channel.old_secret else None
    channel.save(update_fields=["secret", "old_secret", "old_secret_until"])
    return channel


def channel_link_send(*, channel: Channel, url: str) -> None:
    """Mail the link that proves the address. Raises `OSError` where the mail server does not take it."""
    said = {"channel": channel, "user": channel.user, "url": url}
    text = render_to_string("accounts/mails/channel_verify.txt", said)
    send_mail("Confirm this address for Watchkeeper", text, None, [channel.address])


@transaction.atomic
def channel_verify(*, channel_id: int, address: str, now: datetime) -> Channel:
    """The owner of `address` has confirmed it: the channel may be used, again if it was disabled.

    Raises `Channel.DoesNotExist` where the channel is gone, has another address by now, or its user was deleted.
    """
    channel = Channel.objects.select_for_update(of=("self",)).get(
        pk=channel_id, address=address, user__deleted_at__isnull=True
    )
    channel.verified_at, channel.disabled_at, channel.disabled_reason = now, None, ""
    channel.save(update_fields=["verified_at", "disabled_at", "disabled_reason"])
    return channel
