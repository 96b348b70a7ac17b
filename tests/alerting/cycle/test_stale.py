"""Stale: kept with its reason, told in a summary once sending works again."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from alerting.cycle.digests import digest_step
from alerting.cycle.stale import stale_step, summary_step
from alerting.matching import matching_step
from alerting.models import Message, Notification
from tests.alerting.cycle.conftest import Post
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_went_stale_is_summarised_once_when_sending_works_again(post: Post, smtp_server: SmtpServer) -> None:
    stale = post.alert()
    post.later(hours=49)

    assert stale_step(now=post.now) == 1
    assert summary_step(now=post.now) == 0  # nothing was sent since
    post.tell(email="ana@moana.example", mmsi=512000009)
    post.cycle()
    assert summary_step(now=post.now + timedelta(seconds=1)) == 1
    assert summary_step(now=post.now + timedelta(seconds=2)) == 0
    post.later(seconds=2)
    post.cycle("digest")

    stale.refresh_from_db()
    assert stale.state == "stale"
    assert stale.summary is not None
    assert stale.summary.state == "sent"
    assert len(smtp_server.mails) == 2
    assert "could not be sent in time" in stale.reason


def test_a_digest_that_nobody_made_in_time_is_stale_too(post: Post) -> None:
    user = post.world.make_user()
    post.world.subscribe(user, post.world.make_rule(), post.world.make_channel(user), cadence="daily", at=time(8))
    post.world.make_event()
    matching_step(now=post.now)
    late = Notification.objects.get().due_at + timedelta(hours=48)

    assert stale_step(now=late - timedelta(seconds=1)) == 0
    assert stale_step(now=late) == 1
    assert digest_step(now=late) == 0
    assert Notification.objects.get().state == "stale"


def test_a_summary_that_went_stale_itself_is_written_again(post: Post, smtp_server: SmtpServer) -> None:
    stale = post.alert()
    post.later(hours=49)
    stale_step(now=post.now)
    post.tell(email="ana@moana.example", mmsi=512000009)
    post.cycle()
    summary_step(now=post.now + timedelta(seconds=1))
    post.later(hours=50)

    stale_step(now=post.now)

    stale.refresh_from_db()
    assert stale.summary is None
    assert Message.objects.get(kind="summary").state == "stale"
