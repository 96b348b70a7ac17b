"""Channels that refuse: when they are used no more, and who hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from accounts.channels import channel_verify
from accounts.models import Channel
from alerting import channels
from alerting.bounces.recording import bounce_record
from alerting.bounces.reports import Report
from alerting.channels import Refusal, channels_refused
from alerting.cycle.outcomes import Next, Outcome, Settled, outcomes_record
from alerting.cycle.recheck import Checked
from alerting.cycle.rows import message_rows
from alerting.cycle.send import Tried
from alerting.messages import message_new
from alerting.models import Attempt, ErrorKind, Lease, Message, MessageKind, State
from alerting.transports import TransportError
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def channel(world: World) -> Channel:
    return world.make_channel(world.make_user("ana@moana.example", name="Ana Tipene"), name="work")


SAID = "The mail server answered RCPT with: 550 5.7.1 not wanted"
MINUTE = timedelta(minutes=1)


def refuse(channel: Channel, *, bounced: bool = False) -> Sequence[Channel]:
    return channels_refused([Refusal(channel.pk, SAID, bounced, NOW)])


def waiting(channel: Channel) -> Message:
    assert channel.user.organisation_id is not None
    message = message_new(
        organisation_id=channel.user.organisation_id, channel=channel, kind=MessageKind.REALTIME, due_at=NOW, now=NOW
    )
    message.save()
    return message


def ended(channel: Channel, kind: ErrorKind | None, *, at: datetime = NOW) -> Message:
    """A message that was sent (None), or failed with an error of this kind."""
    message = waiting(channel)
    message.state, message.error_kind = (State.FAILED, kind) if kind else (State.SENT, "")
    message.reason, message.sent_at = SAID if kind else "", None if kind else at
    message.save()
    Attempt.objects.create(
        message=message,
        claim_token=uuid4(),
        started_at=at,
        ended_at=at,
        outcome=Attempt.Outcome.FAILED if kind else Attempt.Outcome.SENT,
        error_kind=message.error_kind,
    )
    return message


def outcome(channel: Channel, *, refused: bool, minute: int = 0, fenced: bool = False) -> Outcome:
    """Of an attempt whose claim still holds, or is another's by now."""
    message, token = waiting(channel), uuid4()
    message.save()
    lease = Lease.objects.create(message=message, token=uuid4() if fenced else token, until=NOW, worker="here:1")
    [row] = message_rows([message.pk], lease.token)
    at = NOW + minute * MINUTE
    fault = TransportError(SAID, kind=ErrorKind.PERMANENT) if refused else None
    then = Next(State.FAILED if refused else State.SENT)
    return Outcome(Checked(row), token, Tried(at, at, fault=fault), then, Settled())


def test_a_hard_bounce_disables_at_once_and_says_why(channel: Channel) -> None:
    assert refuse(channel, bounced=True) == [channel]

    channel.refresh_from_db()
    assert channel.disabled_at == NOW
    assert "Its address was refused: The mail server answered RCPT with: 550 5.7.1" in channel.disabled_reason


def test_the_third_refusal_in_a_row_disables(channel: Channel) -> None:
    disabled = []
    for minute in range(3):
        ended(channel, ErrorKind.PERMANENT, at=NOW + minute * MINUTE)
        disabled.append(list(refuse(channel)))

    assert disabled == [[], [], [channel]]
    channel.refresh_from_db()
    assert "It refused 3 messages in a row" in channel.disabled_reason


@pytest.mark.parametrize("between", [None, ErrorKind.TRANSIENT, ErrorKind.OURS])
def test_a_message_that_ended_otherwise_ends_the_row(channel: Channel, between: ErrorKind | None) -> None:
    kinds = [ErrorKind.PERMANENT, ErrorKind.PERMANENT, between, ErrorKind.PERMANENT]
    for minute, kind in enumerate(kinds):
        ended(channel, kind, at=NOW + minute * MINUTE)

    assert refuse(channel) == []


def test_messages_count_by_when_they_ended_not_by_when_they_were_made(channel: Channel) -> None:
    ended(channel, None, at=NOW + 9 * MINUTE)
    for minute in range(3):
        ended(channel, ErrorKind.PERMANENT, at=NOW + minute * MINUTE)

    assert refuse(channel) == []


def test_another_channel_s_refusals_do_not_count(world: World, channel: Channel) -> None:
    other = world.make_channel(channel.user, name="phone")
    for each in (channel, other, channel):
        ended(each, ErrorKind.PERMANENT)

    assert refuse(channel) == []


def test_what_waits_or_never_left_does_not_end_the_row(channel: Channel) -> None:
    for _ in range(3):
        ended(channel, ErrorKind.PERMANENT)
        waiting(channel)
        left = waiting(channel)
        Message.objects.filter(pk=left.pk).update(state=State.CANCELLED, reason="the user was deleted")

    assert refuse(channel) == [channel]


def test_refusals_and_successes_of_one_group_count_in_their_order(channel: Channel) -> None:
    group = [outcome(channel, refused=minute % 2 == 0, minute=minute) for minute in range(5)]

    assert outcomes_record(group, worker="here:1").disabled == ()


def test_three_refusals_of_one_group_disable(channel: Channel) -> None:
    group = [outcome(channel, refused=minute > 0, minute=minute) for minute in range(4)]

    assert outcomes_record(group, worker="here:1").disabled == (channel,)


def test_a_refusal_whose_claim_was_lost_does_not_count(channel: Channel) -> None:
    for _ in range(3):
        ended(channel, ErrorKind.PERMANENT)

    recorded = outcomes_record([outcome(channel, refused=True, fenced=True)], worker="here:1")

    assert (recorded.ours, recorded.disabled) == (frozenset(), ())


def test_late_refusals_add_up_behind_a_relay_that_accepts_everything(channel: Channel) -> None:
    report = Report(action="failed", status="5.7.1", said="550 5.7.1 not wanted", fingerprint="f")
    disabled = []
    accepted = [ended(channel, None), ended(channel, None, at=NOW + MINUTE)]

    for minute in (2, 3, 4):
        accepted.append(ended(channel, None, at=NOW + minute * MINUTE))
        message = accepted.pop(0)
        followed = bounce_record(message_id=message.pk, report=report, source="mail", now=NOW)
        disabled.append(followed.disabled)
    for message in accepted:
        followed = bounce_record(message_id=message.pk, report=report, source="mail", now=NOW)
        disabled.append(followed.disabled)

    assert disabled == [(), (), (), (), (channel,)]


def test_a_disabled_channel_is_disabled_once(channel: Channel) -> None:
    assert len(channels_refused([Refusal(channel.pk, SAID, True, NOW)] * 5)) == 1


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
    for _ in range(3):
        ended(channel, ErrorKind.PERMANENT)
    refuse(channel)

    channel_verify(channel_id=channel.pk, address=channel.address, now=NOW + MINUTE)
    ended(channel, ErrorKind.PERMANENT, at=NOW + 2 * MINUTE)

    assert refuse(channel) == []
