"""Links in messages: what they carry comes back, and nobody else can make one."""

from __future__ import annotations

import pytest

from alerting import links
from tests.alerting.world import World

pytestmark = pytest.mark.django_db


def token_of(url: str) -> str:
    return url.rstrip("/").rsplit("/", 1)[1]


def test_an_unsubscribe_link_brings_back_user_and_subscriptions(settings) -> None:  # type: ignore[no-untyped-def]
    settings.PUBLIC_URL = "https://watch.example"
    world = World()
    user = world.make_user()
    subscription = world.subscribe(user, world.make_rule())

    url = links.unsubscribe_url([subscription, subscription], user_id=user.pk)
    found = links.unsubscribe_read(token_of(url))

    assert url.startswith("https://watch.example/unsubscribe/")
    assert (found.user_id, found.subscription_ids) == (user.pk, (subscription.pk,))


def test_a_changed_link_is_refused() -> None:
    world = World()
    user = world.make_user()
    token = token_of(links.unsubscribe_url(world.subscribe(user, world.make_rule()), user_id=user.pk))

    for damaged in (token[:-1], "x" + token, token.replace(":", ""), ""):
        with pytest.raises(links.LinkFault):
            links.unsubscribe_read(damaged)


def test_a_channels_link_is_no_unsubscribe_link_and_names_the_address() -> None:
    world = World()
    channel = world.make_channel(world.make_user())

    token = token_of(links.channel_verify_url(channel))

    assert links.channel_verify_read(token) == links.ChannelLink(channel.pk, "ana@moana.example")
    with pytest.raises(links.LinkFault):
        links.unsubscribe_read(token)
