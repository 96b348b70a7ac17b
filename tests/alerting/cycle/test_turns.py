"""The order in which a claim leaves: a single alert does not wait behind another organisation's share."""

from __future__ import annotations

import pytest

from alerting.messages import message_new
from alerting.models import MessageKind
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
    other = World("other")
    channel = other.make_channel(other.make_user("one@other.example"))
    now = post.now
    message_new(
        organisation_id=other.organisation.pk, channel=channel, kind=MessageKind.TEST, due_at=now, now=now
    ).save()

    post.cycle(limits=lambda kind: Limits(1))

    recipients = [mail.to[0] for mail in smtp_server.mails]
    assert len(recipients) == 9
    assert recipients.index("one@other.example") <= 1
