"""The order in which a claim leaves: a single alert does not wait behind another organisation's share."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

import pytest
from django.db import connection

from alerting.messages import message_new
from alerting.models import Lease, MessageKind
from alerting.transports.limits import Limits
from tests.alerting.cycle.conftest import Post
from tests.alerting.cycle.test_senders import queue_messages
from tests.alerting.world import World
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_single_one_of_another_organisation_is_among_the_first_of_its_claim(
    post: Post, smtp_server: SmtpServer
) -> None:
    queue_messages(post.world, 8)
    queue_single(post)

    post.cycle(limits=lambda kind: Limits(1))

    assert len(smtp_server.mails) == 9
    assert before_the_single_one(smtp_server) <= 1


def test_one_that_comes_later_waits_for_what_is_in_hand_and_no_more(post: Post, smtp_server: SmtpServer) -> None:
    """It comes at the worst moment: just after a claim, while the third mail is on the wire."""
    queue_messages(post.world, 20)
    in_hand = 4
    mails = count(1)

    def third(_: str) -> None:
        if next(mails) == 3:
            assert wait_until(lambda: Lease.objects.count() >= in_hand)
            queue_single(post)
        connection.close()

    smtp_server.before_answer = third

    post.cycle(limits=lambda kind: Limits(1), claim_size=in_hand)

    assert len(smtp_server.mails) == 21
    on_the_wire = 1
    assert before_the_single_one(smtp_server) - 2 <= in_hand + on_the_wire


def queue_single(post: Post) -> None:
    other = World("other")
    channel = other.make_channel(other.make_user("one@other.example"))
    now = post.now
    message_new(
        organisation_id=other.organisation.pk, channel=channel, kind=MessageKind.TEST, due_at=now, now=now
    ).save()


def before_the_single_one(smtp_server: SmtpServer) -> int:
    return [mail.to[0] for mail in smtp_server.mails].index("one@other.example")


def wait_until(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()
