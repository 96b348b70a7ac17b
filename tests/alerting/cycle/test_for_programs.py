"""What a webhook gets of an alert, from the rows to the wire."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest
from standardwebhooks.webhooks import Webhook

from accounts.channels import channel_secret_rotate, new_secret
from alerting.models import Message, State
from alerting.transports import Transport
from alerting.transports.addresses import Guard
from alerting.transports.webhook import WebhookTransport
from tests.alerting.cycle.conftest import Post
from tests.alerting.transports.http_receiver import receiving

pytestmark = pytest.mark.django_db(transaction=True)


def to_loopback(kind: str) -> Transport:
    return WebhookTransport(Guard((ip_network("127.0.0.0/8"),)))


def test_an_alert_reaches_a_webhook_with_its_event_signed_by_both_secrets(post: Post) -> None:
    user = post.world.make_user()
    with receiving() as receiver:
        channel = post.world.make_channel(user, kind="webhook", address=receiver.url(), secret=new_secret())
        before = channel.secret
        channel = channel_secret_rotate(channel_id=channel.pk, now=post.now)
        post.world.subscribe(user, post.world.make_rule(), channel)
        told = post.tell(email=user.email)

        post.cycle(transport=to_loopback)

    (request,) = receiver.requests
    data = json.loads(request.body)["data"]
    assert [(event["kind"], event["mmsi"], event["area"]) for event in data["events"]] == [
        ("entered", "512000001", "Gulf")
    ]
    assert data["link"].endswith(f"/notifications/{told.pk}/")
    assert Message.objects.get().state == State.SENT
    for secret in (before, channel.secret):
        Webhook(secret).verify(request.body, request.headers)
