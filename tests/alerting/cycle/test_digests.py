"""Digests: one for each window whatever happens, at the user's hour across clock changes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection

from alerting.cycle.digests import digest_step
from alerting.matching import matching_step
from alerting.models import Digest, Message, Notification, Subscription
from tests.alerting.cycle.conftest import Post
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def subscribe(post: Post, *, zone: str = "Pacific/Auckland", **options) -> Subscription:  # type: ignore[no-untyped-def]
    user = post.world.make_user(time_zone=zone)
    return post.world.subscribe(user, post.world.make_rule(), post.world.make_channel(user), **options)


def events(post: Post, count: int, *, at: datetime, first_mmsi: int = 512000001) -> None:
    for number in range(count):
        post.world.make_event(mmsi=first_mmsi + number, occurred_at=at)
    matching_step(now=at)


def test_a_day_is_one_mail_at_the_users_hour(post: Post, smtp_server: SmtpServer) -> None:
    subscribe(post, cadence="daily", at=time(8, 0))
    events(post, 3, at=post.now)
    due = Notification.objects.first().due_at  # type: ignore[union-attr]

    assert digest_step(now=due - timedelta(seconds=1)) == 0
    assert digest_step(now=due) == 3
    post.now = due
    assert post.cycle("digest").sent == 1

    assert due == datetime(2026, 3, 1, 19, 0, tzinfo=UTC)  # 08:00 NZDT
    assert len(smtp_server.mails) == 1
    assert Digest.objects.get().due_at == due
    assert set(Notification.objects.values_list("state", flat=True)) == {"sent"}
    assert digest_step(now=due + timedelta(days=2)) == 0  # an empty window sends nothing


def test_the_hour_holds_across_the_end_of_daylight_saving(post: Post, smtp_server: SmtpServer) -> None:
    subscribe(post, cadence="daily", at=time(8, 0))
    before, after = datetime(2026, 4, 4, 0, 0, tzinfo=UTC), datetime(2026, 4, 5, 0, 0, tzinfo=UTC)
    events(post, 1, at=before)
    digest_step(now=before + timedelta(days=1))
    events(post, 1, at=after, first_mmsi=512000009)
    digest_step(now=after + timedelta(days=1))

    dues = sorted(Digest.objects.values_list("due_at", flat=True))
    assert dues == [datetime(2026, 4, 4, 20, 0, tzinfo=UTC), datetime(2026, 4, 5, 20, 0, tzinfo=UTC)]


def test_an_hour_that_does_not_exist_moves_forward_by_the_gap(post: Post) -> None:
    subscribe(post, zone="Europe/Copenhagen", cadence="daily", at=time(2, 30))
    events(post, 1, at=datetime(2026, 3, 28, 12, 0, tzinfo=UTC))

    assert Notification.objects.get().due_at == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 03:30 CEST


def test_weekly_waits_for_its_weekday(post: Post) -> None:
    subscribe(post, cadence="weekly", at=time(7, 30), weekday=0)
    events(post, 2, at=post.now)

    assert digest_step(now=post.now + timedelta(hours=6)) == 0
    assert digest_step(now=datetime(2026, 3, 8, 18, 30, tzinfo=UTC)) == 2


def test_two_processes_at_once_make_one_digest(post: Post) -> None:
    subscribe(post, cadence="daily", at=time(8, 0))
    events(post, 30, at=post.now)
    due = Notification.objects.first().due_at  # type: ignore[union-attr]
    gate, placed = threading.Barrier(4), []

    def work() -> None:
        gate.wait()
        placed.append(digest_step(now=due))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(placed) == 30
    assert (Digest.objects.count(), Message.objects.count()) == (1, 1)
    assert Notification.objects.filter(message=Message.objects.get()).count() == 30


def test_what_is_committed_late_joins_the_next_window(post: Post) -> None:
    subscription = subscribe(post, cadence="daily", at=time(8, 0))
    events(post, 1, at=post.now)
    due = Notification.objects.get().due_at
    digest_step(now=due)
    events(post, 1, at=post.now, first_mmsi=512000077)
    late = Notification.objects.get(message=None)
    assert late.due_at == due

    digest_step(now=due + timedelta(minutes=1))
    late.refresh_from_db()
    tomorrow = late.due_at
    digest_step(now=tomorrow)

    assert tomorrow == due + timedelta(days=1)
    assert Digest.objects.filter(user=subscription.user).count() == 2


def test_a_digest_says_from_when_until_when_it_is(post: Post, smtp_server: SmtpServer) -> None:
    subscribe(post, cadence="daily", at=time(8, 0))
    for mmsi in (512000001, 512000002):
        events(post, 1, at=post.now, first_mmsi=mmsi)
        post.now = Notification.objects.get(state="pending").due_at
        digest_step(now=post.now)
        post.cycle("digest")

    first, second = (mail.text for mail in smtp_server.mails)
    assert "Until " in first
    assert "From " in second
    assert " until " in second


def test_a_broken_template_costs_one_item_its_words(post: Post, smtp_server: SmtpServer) -> None:
    subscription = subscribe(post, cadence="daily", at=time(8, 0))
    events(post, 2, at=post.now)
    type(subscription.rule).objects.update(template="{% no_such_tag %}")
    post.now = Notification.objects.first().due_at  # type: ignore[union-attr]
    digest_step(now=post.now)

    assert post.cycle("digest").sent == 1
    assert "Gulf" in smtp_server.mails[0].text


def test_an_ended_subscription_is_left_out_and_the_rest_is_told(post: Post, smtp_server: SmtpServer) -> None:
    subscription = subscribe(post, cadence="daily", at=time(8, 0))
    second = post.world.make_rule("Second")
    kept = post.world.subscribe(subscription.user, second, subscription.channels.get(), cadence="daily")
    events(post, 1, at=post.now)
    post.now = Notification.objects.first().due_at  # type: ignore[union-attr]
    digest_step(now=post.now)
    Subscription.objects.exclude(pk=kept.pk).update(active=False)

    post.cycle("digest")

    states = dict(Notification.objects.values_list("subscription_id", "state"))
    assert states == {subscription.pk: "cancelled", kept.pk: "sent"}
    assert "Anybody enters" not in smtp_server.mails[0].text
