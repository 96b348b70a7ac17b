"""Adding channels and proving that they reach their owner."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import transaction
from django.template.loader import render_to_string

from accounts.models import Channel, ChannelKind, User

MOST_CHANNELS = 20  # of one user: each can make us send a mail to a stranger


@transaction.atomic
def channel_add(*, user: User, name: str, address: str, now: datetime) -> Channel:
    """A new e-mail channel, not verified yet. Raises `ValidationError`."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if user.channels.count() >= MOST_CHANNELS:
        raise ValidationError(f"You have {MOST_CHANNELS} channels already, which is the most.")
    validate_email(address)
    channel = Channel(user=user, kind=ChannelKind.EMAIL, name=name, address=address, created_at=now)
    channel.full_clean()
    channel.save()
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
    channel.verified_at, channel.disabled_at, channel.disabled_reason, channel.refusals = now, None, "", 0
    channel.save(update_fields=["verified_at", "disabled_at", "disabled_reason", "refusals"])
    return channel
