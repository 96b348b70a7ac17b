"""Channels that refuse: when they are used no more, and who hears of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from accounts.channels import channel_verify
from accounts.models import Channel
from alerting import channels
from alerting.channels import Refusal, channels_answered, channels_refused
from alerting.models import Message, MessageKind
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def channel(world: World) -> Channel:
    return world.make_channel(world.make_user("ana@moana.example", name="Ana Tipene"), name="work")


def refuse(channel: Channel, times: int = 1, *, bounced: bool = False) -> Sequence[Channel]:
    said = "The mail server answered RCPT with: 550 5.7.1 not wanted"
    return channels_refused([Refusal(channel.pk, said, bounced, NOW)] * times)


def test_a_hard_bounce_disables_at_once_and_says_why(channel: Channel) -> None:
    assert refuse(channel, bounced=True) == [channel]

    channel.refresh_from_db()
    assert channel.disabled_at == NOW
    assert "Its address was refused: The mail server answered RCPT with: 550 5.7.1" in channel.disabled_reason


def test_the_third_refusal_in_a_row_disables(channel: Channel) -> None:
    assert refuse(channel, 2) == []
    assert refuse(channel) == [channel]

    channel.refresh_from_db()
    assert "It refused 3 messages in a row" in channel.disabled_reason


def test_a_message_that_is_taken_ends_the_row(channel: Channel) -> None:
    refuse(channel, 2)
    channels_answered([channel.pk])

    assert refuse(channel, 2) == []


def test_a_disabled_channel_is_disabled_once(channel: Channel) -> None:
    assert len(refuse(channel, 5, bounced=True)) == 1


def test_the_owner_hears_by_another_channel_and_managers_by_theirs(world: World, channel: Channel) -> None:
    world.make_channel(channel.user, name="phone", address="ana@home.example")
    manager = world.make_user("mia@moana.example", role="manager")
    world.make_channel(manager)
    other = World("other")
    other.make_channel(other.make_user("boss@other.example", role="manager"))

    refuse(channel, bounced=True)

    told = {message.channel.address: message for message in Message.objects.filter(kind=MessageKind.NOTICE)}
    assert set(told) == {"ana@home.example", "mia@moana.example"}
    assert told["ana@home.example"].subject == "Your channel “work” no longer gets alerts"
    assert told["mia@moana.example"].subject == "Ana Tipene’s channel “work” no longer gets alerts"
    assert "550 5.7.1 not wanted" in told["mia@moana.example"].text
    assert "550 5.7.1 not wanted" in told["mia@moana.example"].html


def test_a_notice_that_cannot_be_made_does_not_undo_the_rest(
    world: World, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.make_channel(channel.user, name="phone")
    monkeypatch.setattr(channels, "render_disabled", lambda facts: 1 / 0)

    assert refuse(channel, bounced=True) == [channel]
    assert Channel.objects.get(pk=channel.pk).disabled_at == NOW


def test_a_channel_that_is_confirmed_again_begins_anew(channel: Channel) -> None:
    refuse(channel, 3)

    channel_verify(channel_id=channel.pk, address=channel.address, now=NOW)

    assert refuse(channel, 2) == []
