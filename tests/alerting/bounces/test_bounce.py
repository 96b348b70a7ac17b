"""`manage.py bounce`: from a mail that came back to what its subscriber sees."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.utils import OperationalError
from django.test import Client
from django.urls import reverse

from accounts.models import Channel, User
from alerting.bounces.addresses import return_address
from alerting.models import BounceReport, Message, Notification, State
from resilience import incidents
from resilience.models import Incident
from tests.alerting.bounces.samples import PLAIN_REPLY, QMAIL, dsn, dsn_of
from tests.alerting.pages_world import THEN, World, event_new, notification_new, world_new

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _box(settings: Any) -> None:
    settings.BOUNCE_ADDRESS = "bounces@watch.example"


@pytest.fixture
def world() -> World:
    return world_new("moana")


@pytest.fixture
def sent(world: World) -> Notification:
    return notification_new(world, event=event_new(world))


def bounce(mail: bytes, *given: str) -> int:
    """The exit code."""
    stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(mail))
    try:
        call_command("bounce", *given)
    except CommandError as fault:
        return fault.returncode
    finally:
        sys.stdin = stdin
    return 0


def incident_kinds() -> list[str]:
    assert incidents.flush(5)
    return sorted(Incident.objects.values_list("kind", flat=True))


def back(sent: Notification) -> str:
    assert sent.message_id is not None
    return return_address(sent.message_id)


def test_a_hard_bounce_fails_message_and_notification_and_disables_the_channel(sent: Notification) -> None:
    assert bounce(dsn(back(sent))) == 0

    message = Message.objects.get()
    assert (message.state, message.sent_at) == (State.FAILED, None)
    sent.refresh_from_db()
    assert (sent.state, sent.sent_at) == (State.FAILED, None)
    assert sent.reason.startswith("Accepted, then returned: 550 5.1.1 <ana@moana.example>")
    sent.channel.refresh_from_db()
    assert "Its address was refused: Accepted, then returned: 550 5.1.1" in sent.channel.disabled_reason


def test_the_admin_shows_the_report_in_the_notification_s_history(world: World, sent: Notification) -> None:
    bounce(dsn(back(sent)))
    client = Client()
    client.force_login(world.user, backend="django.contrib.auth.backends.ModelBackend")

    page = client.get(reverse("admin:alerting_notification_change", args=[sent.pk])).content.decode()
    of_message = client.get(reverse("admin:alerting_message_change", args=[sent.message_id])).content.decode()

    for shown in (page, of_message):
        assert "mail.moana.example" in shown
        assert "Recipient address rejected" in shown


def test_a_report_of_a_delay_is_only_kept(sent: Notification) -> None:
    assert bounce(dsn(back(sent), action="delayed", status="4.4.1", diagnostic="smtp; no answer")) == 0

    sent.refresh_from_db()
    assert sent.state == State.SENT
    assert BounceReport.objects.get().action == "delayed"
    assert sent.channel.is_usable


def test_a_server_that_gave_up_after_days_fails_the_message_but_not_the_channel(sent: Notification) -> None:
    assert bounce(dsn(back(sent), status="4.4.7", diagnostic="smtp; 451 4.4.7 expired")) == 0

    sent.refresh_from_db()
    sent.channel.refresh_from_db()
    assert sent.state == State.FAILED
    assert sent.channel.is_usable


def test_another_refusal_does_not_disable_at_once(sent: Notification) -> None:
    bounce(dsn(back(sent), status="5.7.1", diagnostic="smtp; 550 5.7.1 spam"))

    sent.channel.refresh_from_db()
    assert sent.channel.is_usable


def test_the_same_report_twice_counts_once(sent: Notification) -> None:
    report = dsn(back(sent), status="5.7.1", diagnostic="smtp; 550 5.7.1 spam")

    assert (bounce(report), bounce(report)) == (0, 0)

    assert BounceReport.objects.count() == 1


def test_a_message_that_is_being_sent_again_is_left_to_its_sender(sent: Notification) -> None:
    Message.objects.update(state=State.PENDING, sent_at=None)
    Notification.objects.update(state=State.PENDING, sent_at=None)

    assert bounce(dsn(back(sent), status="4.4.7")) == 0

    assert Message.objects.get().state == State.PENDING
    assert BounceReport.objects.exists()


def test_the_address_may_be_given_and_then_headers_do_not_count(world: World, sent: Notification) -> None:
    other = notification_new(world, event=event_new(world, minute=9))

    assert bounce(dsn(back(other)), back(sent)) == 0

    sent.refresh_from_db()
    other.refresh_from_db()
    assert (sent.state, other.state) == (State.FAILED, State.SENT)


@pytest.mark.parametrize(
    "to", ["bounces+{}.aaaaaaaaaaaaaaaa@watch.example", "bounces@watch.example", "ana@moana.example"]
)
def test_a_forged_bounce_changes_nothing(sent: Notification, to: str) -> None:
    assert bounce(dsn(to.format(sent.message_id))) == os.EX_DATAERR

    sent.refresh_from_db()
    sent.channel.refresh_from_db()
    assert (sent.state, sent.channel.is_usable) == (State.SENT, True)
    assert not BounceReport.objects.exists()


def test_a_bounce_in_words_is_kept_and_told_but_fails_nothing(sent: Notification) -> None:
    assert bounce(QMAIL.format(to=back(sent)).encode()) == 0

    sent.refresh_from_db()
    sent.channel.refresh_from_db()
    assert (sent.state, sent.channel.is_usable) == (State.SENT, True)
    report = BounceReport.objects.get()
    assert (report.action, report.by) == ("unclear", "MAILER-DAEMON@mail.moana.example")
    assert "no mailbox here by that name" in report.said
    assert incident_kinds() == ["message_returned"]


def test_an_answer_to_another_address_is_refused(sent: Notification) -> None:
    assert bounce(PLAIN_REPLY) == os.EX_DATAERR

    assert not BounceReport.objects.exists()


def test_a_member_of_an_alias_that_bounces_does_not_disable_the_alias(sent: Notification) -> None:
    assert bounce(dsn(back(sent), final="former.member@moana.example")) == 0

    sent.refresh_from_db()
    sent.channel.refresh_from_db()
    assert (sent.state, sent.channel.is_usable) == (State.FAILED, True)


def test_a_report_may_write_the_address_in_another_case(sent: Notification) -> None:
    bounce(dsn(back(sent), final="<Ana@MOANA.example>"))

    sent.channel.refresh_from_db()
    assert not sent.channel.is_usable


def test_an_international_host_is_known_as_it_goes_over_the_wire(sent: Notification) -> None:
    Channel.objects.update(address="ana@bücher.example")

    bounce(dsn(back(sent), final="ana@xn--bcher-kva.example"))

    sent.channel.refresh_from_db()
    assert not sent.channel.is_usable


def test_a_message_that_reached_others_behind_its_address_counts_as_sent_and_is_told(sent: Notification) -> None:
    failed = "Final-Recipient: rfc822; ana@moana.example\nAction: failed\nStatus: 5.1.1"
    relayed = "Final-Recipient: rfc822; tui@moana.example\nAction: relayed\nStatus: 2.0.0"

    assert bounce(dsn_of(back(sent), relayed, failed)) == 0

    sent.refresh_from_db()
    sent.channel.refresh_from_db()
    assert (sent.state, sent.channel.is_usable) == (State.SENT, True)
    assert BounceReport.objects.get().action == "failed"
    assert incident_kinds() == ["message_returned"]


def test_a_message_that_does_not_exist_is_refused() -> None:
    assert bounce(dsn(return_address(987654321))) == os.EX_DATAERR


@pytest.mark.parametrize("fault", [OperationalError("the database system is starting up"), KeyError("ours")])
def test_a_database_that_is_away_or_a_fault_of_ours_leaves_the_mail_with_its_server(
    sent: Notification, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: Any) -> None:
        raise fault

    monkeypatch.setattr("alerting.management.commands.bounce.bounce_record", fails)

    assert bounce(dsn(back(sent))) == os.EX_TEMPFAIL


def test_a_deleted_user_s_bounce_is_kept_too(world: World, sent: Notification) -> None:
    User.objects.filter(pk=world.user.pk).update(deleted_at=THEN)

    assert bounce(dsn(back(sent))) == 0
