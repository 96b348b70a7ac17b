"""The page of channels: webhooks and Slack, their proof, and secrets that are seen once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from accounts.channels import OLD_SECRET_HOLDS
from accounts.models import Channel, User
from tests.alerting.pages_world import World, world_new
from tests.alerting.transports.http_receiver import Receiver, receiving, status

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _loopback_is_allowed(settings: Any) -> None:
    cache.clear()
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def world() -> World:
    return world_new("moana")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def add(client: Client, address: str, kind: str = "webhook") -> str:
    given = {"kind": kind, "name": "desk", "address": address}
    return client.post(reverse("channels"), given, follow=True).content.decode()


def test_a_webhook_gets_a_signed_link_and_works_once_it_is_confirmed(world: World, receiver: Receiver) -> None:
    add(signed_in(world.user), receiver.url())
    channel = Channel.objects.get(name="desk")
    (request,) = receiver.requests
    Webhook(channel.secret).verify(request.body, request.headers)
    said = json.loads(request.body)
    link = "/" + said["data"]["link"].split("/", 3)[3]

    Client().get(link)
    channel.refresh_from_db()
    assert (said["type"], channel.verified_at) == ("watchkeeper.verification", None)
    Client().post(link)

    channel.refresh_from_db()
    assert channel.is_usable
    assert not mail.outbox


def test_a_secret_is_shown_once(world: World, receiver: Receiver) -> None:
    client = signed_in(world.user)

    first = add(client, receiver.url())
    second = client.get(reverse("channels"))

    secret = Channel.objects.get(name="desk").secret
    assert secret.startswith("whsec_")
    assert secret.replace("+", "&#x2B;") in first or secret in first
    assert "whsec_" not in second.content.decode()
    assert "no-store" in second["Cache-Control"]


def test_a_new_secret_leaves_the_old_one_valid_for_a_day(world: World, receiver: Receiver) -> None:
    client = signed_in(world.user)
    add(client, receiver.url())
    before = Channel.objects.get(name="desk")

    page = client.post(reverse("channel-secret", args=[before.pk]), follow=True).content.decode()

    after, now = Channel.objects.get(pk=before.pk), timezone.now()
    assert "shown this once" in page
    assert "Signed with the secret before this one, too" in page
    assert after.secrets_at(now) == (after.secret, before.secret)
    assert after.secrets_at(now + OLD_SECRET_HOLDS) == (after.secret,)


def test_only_the_own_webhook_gets_a_new_secret(world: World, receiver: Receiver) -> None:
    add(signed_in(world.user), receiver.url())
    channel = Channel.objects.get(name="desk")
    other = signed_in(world_new("other").user)

    assert other.post(reverse("channel-secret", args=[channel.pk])).status_code == 404
    assert signed_in(world.user).post(reverse("channel-secret", args=[world.channel.pk])).status_code == 404
    assert Channel.objects.get(name="desk").secret == channel.secret


def test_a_slack_channel_gets_its_link(world: World, slack_server: Any) -> None:
    add(signed_in(world.user), slack_server.url, kind="slack")

    assert "/channels/verify/" in slack_server.requests[0]["blocks"][0]["text"]["text"]
    assert Channel.objects.get(name="desk").secret == ""


@pytest.mark.parametrize(
    ("kind", "address", "said"),
    [
        ("webhook", "http://10.0.0.1/hook", "not a public address"),
        ("webhook", "https://169.254.169.254/latest/", "not a public address"),
        ("webhook", "https://[::1]/", "not a public address"),
        ("webhook", "desk@moana.example", "must begin with https://"),
        ("webhook", "https://nobody.invalid/", "cannot be found"),
        ("slack", "https://1.1.1.1/services/x", "must begin with https://hooks.slack.com/"),
        ("email", "https://hooks.example/", "valid email address"),
        ("pigeon", "x", "Select a valid choice"),
    ],
)
def test_an_address_that_cannot_be_is_told_at_its_field(world: World, kind: str, address: str, said: str) -> None:
    page = add(signed_in(world.user), address, kind=kind)

    assert said in page
    assert not Channel.objects.filter(name="desk").exists()


def test_a_webhook_that_refuses_its_link_is_told_and_can_be_tried_again(world: World, receiver: Receiver) -> None:
    client = signed_in(world.user)
    receiver.answer = status(404, b"no hook here")
    page = add(client, receiver.url())
    assert "The link did not reach desk: The webhook answered: 404 no hook here" in page

    receiver.answer = status(204)
    channel = Channel.objects.get(name="desk")
    again = client.post(reverse("channel-send-link", args=[channel.pk]), follow=True).content.decode()

    assert "A link is on its way" in again
    assert len(receiver.requests) == 2
