"""The send cycle against a real mail server: each message by itself, whatever is wrong with its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from alerting import links
from alerting.models import Attempt, Lease, Message, Notification, SendCycleRun, State
from resilience import incidents
from resilience.models import Incident
from tests.alerting.cycle.conftest import Post
from tests.alerting.world import NOW
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def incident_kinds() -> list[str]:
    incidents.flush(3.0)
    return sorted(Incident.objects.values_list("kind", flat=True))


def test_an_alert_is_sent_and_everything_says_so(post: Post, smtp_server: SmtpServer) -> None:
    notification = post.alert()

    counts = post.cycle()

    notification.refresh_from_db()
    message = Message.objects.get()
    assert (counts.claimed, counts.sent) == (1, 1)
    assert (notification.state, message.state, message.sent_at) == ("sent", "sent", NOW)
    assert Attempt.objects.get().answer == "250 2.0.0 accepted as 1"
    mail = smtp_server.mails[0]
    assert mail.message_id == message.message_id
    assert "Endeavour" in mail.subject or "ENDEAVOUR" in mail.subject
    assert mail.parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert {part.get_content_type() for part in mail.parsed.walk()} >= {"text/plain", "text/html"}
    assert SendCycleRun.objects.get().sent == 1


def test_the_link_out_is_signed_once_and_the_same_in_the_header_and_in_the_words(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = links.unsubscribe_url, list[str]()

    def unsubscribe_url(*args: Any, **named: Any) -> str:
        made.append(real(*args, **named))
        return made[-1]

    monkeypatch.setattr(links, "unsubscribe_url", unsubscribe_url)
    post.alert()

    post.cycle()

    (link,) = made
    mail = smtp_server.mails[0]
    assert mail.parsed["List-Unsubscribe"] == f"<{link}>"
    assert link in mail.text


def test_one_bad_row_of_each_sort_stops_no_other(post: Post, smtp_server: SmtpServer) -> None:
    deleted = post.world.make_user("gone@moana.example")
    rule = post.world.make_rule("Shared")
    post.world.subscribe(deleted, rule, post.world.make_channel(deleted))
    second = post.world.make_rule("Second")
    post.world.subscribe(deleted, second, deleted.channels.get())
    broken = post.world.make_user("broken@moana.example")
    template = post.world.make_rule("Broken template", template="ok")
    type(template).objects.filter(pk=template.pk).update(template="{% no_such_tag %}")
    post.world.subscribe(broken, template, post.world.make_channel(broken))
    post.alert("good@moana.example", mmsi=512000999, vessel=False)
    deleted.deleted_at = NOW
    deleted.save()

    counts = post.cycle()

    assert (counts.sent, counts.cancelled, counts.failed) == (2, 2, 0)
    assert "512000999" in smtp_server.to("good@moana.example")[0].text
    assert len(smtp_server.to("broken@moana.example")) == 1
    assert set(Notification.objects.filter(subscription__user=deleted).values_list("state", "reason")) == {
        ("cancelled", "The user was deleted.")
    }
    assert incident_kinds() == ["deleted_user_with_subscriptions", "template_fault", "vessel_not_found"]
    assert Incident.objects.get(kind="deleted_user_with_subscriptions").count == 2


@pytest.mark.parametrize(
    ("table", "event"),
    [
        ("accounts_user", "query_failed_user_profiles"),
        ("vessels_vessel", "query_failed_vessel_profiles"),
        ("alerting_subscriptionchannel", "failed_query_pending_notifications"),
    ],
)
def test_a_failed_look_up_is_loud_and_burns_no_attempt(
    post: Post, smtp_server: SmtpServer, table: str, event: str
) -> None:
    post.alert()

    with table_away(table):
        counts = post.cycle()

    message = Message.objects.get()
    assert (counts.released, counts.sent) == (1, 0)
    assert (message.state, message.attempts_made) == ("pending", 0)
    assert not Lease.objects.exists()
    assert incident_kinds() == [event]
    assert post.cycle().sent == 1


@contextmanager
def table_away(table: str) -> Iterator[None]:
    """No query of it works meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO away")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE away RENAME TO {table}")


def test_a_database_that_goes_away_before_the_words_are_kept_burns_no_attempt(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alerting.cycle import prepare

    post.alert()
    real = prepare.words_fix

    def away(*args):  # type: ignore[no-untyped-def]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(prepare, "words_fix", away)
    post.cycle()
    monkeypatch.setattr(prepare, "words_fix", real)
    back = post.cycle()

    assert back.sent == 1
    assert not Attempt.objects.exclude(outcome="sent").exists()


def test_a_refusal_for_our_own_setup_burns_no_attempt_and_is_told_at_once(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_answers["ana@moana.example"] = "554 5.7.1 blocked using zen.spamhaus.org"
    post.alert()
    for _ in range(8):
        post.cycle()
        post.later(minutes=20)
    smtp_server.rcpt_answers.clear()
    post.later(hours=1)

    post.cycle()

    assert Attempt.objects.filter(error_kind="configuration").count() >= 3
    message = Message.objects.get()
    assert (message.state, message.attempts_made) == ("sent", 1)
    assert incident_kinds() == ["message_refused_for_our_setup"]


def test_a_programming_error_costs_one_message_an_attempt(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alerting.cycle import render

    bad = post.alert("bad@moana.example")
    post.alert("good@moana.example", mmsi=512000002)
    real = render.alert_of

    def alert_of(one, found):  # type: ignore[no-untyped-def]
        if one.subscription.user_id == bad.subscription.user_id:
            raise KeyError("a bug")
        return real(one, found)

    monkeypatch.setattr(render, "alert_of", alert_of)
    counts = post.cycle()

    assert counts.sent == 1
    assert counts.retried == 2
    attempt = Attempt.objects.filter(error_kind="ours").first()
    assert attempt is not None
    assert "KeyError" in attempt.traceback
    assert incident_kinds() == ["panic_in_send_cycle"]


def test_an_answer_of_4xx_is_tried_again_by_the_ladder_and_then_failed(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_answers["ana@moana.example"] = "451 4.3.2 try later"
    post.alert()

    waits = []
    for _ in range(6):
        post.cycle()
        message = Message.objects.get()
        waits.append((message.next_attempt_at - post.now).total_seconds())
        post.now = max(post.now, message.next_attempt_at)

    assert waits[:5] == [30, 120, 600, 3600, 14400]
    assert (message.state, message.attempts_made, message.error_kind) == ("failed", 6, "transient")
    assert Notification.objects.get().state == "failed"
    assert set(Attempt.objects.values_list("answer", flat=True)) == {"451 4.3.2 try later"}
    assert incident_kinds() == ["message_failed"]


def test_a_hard_bounce_fails_at_once_and_disables_the_channel(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_answers["ana@moana.example"] = "550 5.1.1 no such user"
    notification = post.alert()

    counts = post.cycle()

    notification.channel.refresh_from_db()
    notification.refresh_from_db()
    assert counts.failed == 1
    assert notification.state == State.FAILED
    assert "550 5.1.1 no such user" in notification.reason
    assert "550 5.1.1" in notification.channel.disabled_reason


def test_a_connection_lost_after_data_is_unknown_and_repeats_the_message_id(
    post: Post, smtp_server: SmtpServer
) -> None:
    smtp_server.drop_after_data["ana@moana.example"] = 1
    post.alert()
    post.alert("bob@moana.example", mmsi=512000002)

    post.cycle()
    post.later(minutes=1)
    post.cycle()

    assert sorted(Attempt.objects.values_list("outcome", flat=True)) == ["sent", "sent", "sent", "unknown"]
    repeats = {mail.message_id for mail in smtp_server.to("ana@moana.example")}
    assert set(smtp_server.message_ids().values()) <= {1, 2}
    assert len(repeats) == 2
    assert Message.objects.filter(state="sent").count() == 3


def test_a_server_that_is_down_pauses_the_kind_and_burns_no_attempts(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.stop()
    post.alert()
    post.alert("bob@moana.example", mmsi=512000002)

    first, second = post.cycle(), post.cycle()
    smtp_server.start()
    too_early = post.cycle()
    post.later(seconds=20)
    back = post.cycle()

    assert (first.released, second.claimed, too_early.claimed) == (3, 0, 0)
    assert back.sent == 3
    assert not Attempt.objects.exclude(outcome="sent").exists()
    assert incident_kinds() == ["transport_paused"]
    assert Incident.objects.get().state == "resolved"


def test_a_server_that_hangs_is_cut_off_at_the_deadline(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.hang.add("ana@moana.example")
    post.alert()

    counts = post.cycle(send_deadline=1.0)

    assert counts.retried == 1
    assert "deadline" in Attempt.objects.get().error


def test_a_message_past_its_time_ends_as_stale(post: Post, smtp_server: SmtpServer) -> None:
    notification = post.alert()
    post.later(hours=49)

    counts = post.cycle()

    notification.refresh_from_db()
    assert (counts.stale, notification.state, len(smtp_server.mails)) == (1, "stale", 0)
    assert "2026-03-01 12:00 UTC" in notification.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda n: n.subscription.__class__.objects.update(active=False), "The subscription was ended."),
        (lambda n: n.subscription.links.all().delete(), "The subscription no longer uses this channel."),
        (lambda n: n.event.__class__.objects.update(retracted_at=NOW), "The event was taken back."),
        (lambda n: n.channel.__class__.objects.update(verified_at=None), "The channel is not verified."),
        (
            lambda n: n.channel.__class__.objects.update(disabled_at=NOW, disabled_reason="bounced"),
            "The channel is disabled: bounced",
        ),
    ],
)
def test_what_nobody_wants_any_more_is_cancelled(post: Post, smtp_server: SmtpServer, change, reason: str) -> None:  # type: ignore[no-untyped-def]
    notification = post.alert()
    change(notification)

    post.cycle()

    notification.refresh_from_db()
    assert (notification.state, notification.reason) == ("cancelled", reason)
    assert not smtp_server.mails


def test_a_stop_is_heard_between_messages_and_the_rest_is_given_back(post: Post, smtp_server: SmtpServer) -> None:
    for number in range(4):
        post.alert(f"u{number}@moana.example", mmsi=512000010 + number)
    waiting = Message.objects.count()

    counts = post.cycle(stopping=lambda: len(smtp_server.mails) >= 1)

    assert (counts.sent, counts.released) == (1, waiting - 1)
    assert Message.objects.filter(state="pending", lease=None).count() == waiting - 1
    assert post.cycle().sent == waiting - 1
    assert set(smtp_server.message_ids().values()) == {1}


def test_a_lease_too_short_for_the_deadline_starts_nothing(post: Post, smtp_server: SmtpServer) -> None:
    post.alert()

    counts = post.cycle(lease=timedelta(seconds=5), send_deadline=30.0)

    assert (counts.released, counts.sent) == (1, 0)


def test_the_words_of_the_first_attempt_are_kept(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.data_answers["ana@moana.example"] = ["451 later", ""]
    notification = post.alert()

    post.cycle()
    type(notification.event.area).objects.update(name="Renamed")
    post.later(minutes=1)
    post.cycle()

    assert len(smtp_server.mails) == 1
    assert "Gulf" in smtp_server.mails[0].text
    assert "Renamed" not in smtp_server.mails[0].text


def test_words_of_the_first_attempt_that_leave_hours_later_say_so_once(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.data_answers["ana@moana.example"] = ["451 later", "451 later", ""]
    post.alert()

    for _ in range(3):
        post.cycle()
        post.later(hours=2)

    mail = smtp_server.mails[0]
    html = next(part for part in mail.parsed.walk() if part.get_content_type() == "text/html").get_content()
    message = Message.objects.get()
    assert message.text.count("Sent late: this message was due at") == 1
    assert "left 2 hours after that" in mail.text
    assert html.count("Sent late: this message was due at") == 1
    assert "Sent late" in message.html


def test_a_summary_of_one_cadence_does_not_keep_the_probe_from_the_other(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.stop()
    post.alert()
    post.cycle()
    smtp_server.start()
    post.later(seconds=20)

    digest = post.cycle("digest")
    realtime = post.cycle()

    assert (digest.claimed, realtime.sent) == (0, 1)


def test_a_message_during_which_a_worker_died_can_be_the_probe(post: Post, smtp_server: SmtpServer) -> None:
    post.alert()
    Message.objects.update(deaths=1)
    smtp_server.stop()
    post.cycle()
    smtp_server.start()
    post.later(seconds=20)

    assert post.cycle().sent == 1


def test_a_vessel_that_cannot_be_found_is_named_by_its_mmsi_and_told_once(post: Post, smtp_server: SmtpServer) -> None:
    post.alert(mmsi=512000999, vessel=False)
    post.alert("bob@moana.example", mmsi=512000998, vessel=False)

    post.cycle()

    assert any("512000999" in mail.text for mail in smtp_server.to("ana@moana.example"))
    incident = Incident.objects.get()
    assert (incident.kind, incident.count) == ("vessel_not_found", 1)
    assert "512000998" in incident.summary


def test_an_answer_that_no_text_column_keeps_is_recorded_all_the_same(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_answers["ana@moana.example"] = "451 4.3.2 a \x00 of it"
    post.alert()

    assert post.cycle().retried == 1
    assert "�" in Attempt.objects.get().answer


def test_a_message_that_cannot_be_ended_costs_an_attempt_and_stops_no_other(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import DataError

    from alerting.cycle import prepare

    def end_record(checked, *, token):  # type: ignore[no-untyped-def]
        raise DataError("a value that the database refuses")

    gone = post.alert("gone@moana.example")
    post.alert("good@moana.example", mmsi=512000002)
    gone.channel.__class__.objects.filter(pk=gone.channel_id).update(verified_at=None)
    monkeypatch.setattr(prepare, "end_record", end_record)

    counts = post.cycle()

    assert (counts.sent, counts.retried, counts.cancelled) == (1, 2, 0)


def test_three_refusals_in_a_row_disable_the_channel_and_the_owner_is_told(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_answers["ana@moana.example"] = "550 5.7.1 not wanted"
    notification = post.alert()
    post.world.make_channel(notification.subscription.user, name="phone", address="ana@home.example")
    for number in (1, 2):
        post.cycle()
        post.later(minutes=1)
        post.tell(email="ana@moana.example", mmsi=512000001 + number)
    post.cycle()

    post.cycle()

    assert Message.objects.filter(state=State.FAILED).count() == 3
    assert smtp_server.to("ana@home.example")[0].subject == "Your channel “mail” no longer gets alerts"
    assert incident_kinds() == ["channel_disabled", "message_failed"]
