"""Proving that a channel reaches its owner: the link to confirm it goes out by the channel itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from accounts.channels import channel_link_send
from accounts.models import Channel, ChannelKind
from alerting.links import channel_verify_url
from alerting.models import ErrorKind
from alerting.transports import Outgoing, Transport, TransportError, transport_for

ANSWER_SECONDS = 10.0  # somebody waits at the page


def channel_proof_send(
    *, channel: Channel, now: datetime, transport: Callable[[str], Transport] = transport_for
) -> None:
    """Send the link now, without the queue: nothing else leaves by a channel that nobody confirmed.

    Raises `TransportError`.
    """
    url = channel_verify_url(channel)
    if channel.kind == ChannelKind.EMAIL:
        _mail(channel, url)
        return
    way = transport(channel.kind)
    try:
        way.send(_outgoing(channel, url, now), deadline=time.monotonic() + ANSWER_SECONDS)
    finally:
        way.close()


def _mail(channel: Channel, url: str) -> None:
    try:
        channel_link_send(channel=channel, url=url)
    except OSError as fault:  # smtplib's errors are among these
        raise TransportError(f"The mail server did not take it: {fault}", kind=ErrorKind.TRANSIENT) from fault


def _outgoing(channel: Channel, url: str, now: datetime) -> Outgoing:
    return Outgoing(
        message_id=f"<verify-{uuid4().hex}@watchkeeper>",
        address=channel.address,
        subject="Confirm this channel for Watchkeeper",
        text=f"{channel.user} wants Watchkeeper to send alerts about vessels here. To allow it, open this page and "
        f"confirm:\n\n{url}\n\nThe link holds for seven days. If you did not expect this, ignore it: nothing will be "
        "sent here.",
        html="",
        unsubscribe_url="",
        at=now,
        kind="verification",
        link=url,
        secrets=channel.secrets_at(now),
    )
