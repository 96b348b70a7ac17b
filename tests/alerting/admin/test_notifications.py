"""The operators' list: what it shows, how its actions ask first and are recorded, and what it costs."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from alerting.messages import message_new
from alerting.models import WORDS, Attempt, Death, Digest, MessageKind, Notification, OperatorAction
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db
LIST = "/admin/alerting/notification/"


def make_notifications(world: World, user: User, count: int, **fields: Any) -> list[Notification]:
    """As many failed ones, each with a message and an attempt."""
    channel = world.make_channel(user, name=f"mail {uuid.uuid4()}")
    rule = world.make_rule(f"rule {uuid.uuid4()}")
    subscription = world.subscribe(user, rule, channel)
    made = []
    for number in range(count):
        event = world.make_event(mmsi=512000000 + number, position_key=f"{rule.pk} {number}")
        message = message_new(
            organisation_id=world.organisation.pk, channel=channel, kind=MessageKind.REALTIME, due_at=NOW, now=NOW
        )
        message.state, message.reason, message.error_kind = "failed", "refused", "permanent"
        message.subject, message.text, message.html = "ENDEAVOUR entered Gulf", "as it was sent", "<p>as sent</p>"
        message.save()
        Attempt.objects.create(
            message=message, claim_token=uuid.uuid4(), started_at=NOW, ended_at=NOW + timedelta(seconds=1),
            outcome="failed", error_kind="permanent", error="refused", answer="550 5.1.1 <b>User unknown</b>",
            traceback="Traceback: ValueError",
        )  # fmt: skip
        made.append(
            Notification.objects.create(
                **{
                    "organisation": world.organisation, "subscription": subscription, "event": event,
                    "channel": channel, "rule_version": 1, "dedupe_key": str(event.pk), "cadence": "realtime",
                    "state": "failed", "reason": "refused", "due_at": NOW, "message": message, "created_at": NOW,
                }
                | fields
            )
        )  # fmt: skip
    return made


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def manager(world: World) -> User:
    return world.make_user(role="manager", time_zone="Pacific/Auckland")


@pytest.fixture
def staff(client: Client, manager: User) -> Client:
    client.force_login(manager, backend="django.contrib.auth.backends.ModelBackend")
    return client


def post(client: Client, action: str, rows: list[Notification], **fields: str) -> Any:
    return client.post(LIST, {"action": action, "index": "0", ACTION_CHECKBOX_NAME: [r.pk for r in rows], **fields})


def test_each_row_says_its_state_reason_and_the_server_s_answer_escaped(
    staff: Client, world: World, manager: User
) -> None:
    make_notifications(world, manager, 1)

    page = staff.get(LIST, {"state": "failed"}).content.decode()

    assert "refused" in page
    assert "550 5.1.1 &lt;b&gt;User unknown&lt;/b&gt;" in page
    assert "<strong>1</strong> Failed" in page


def test_the_list_costs_the_same_number_of_queries_for_1_row_and_for_100(
    staff: Client, world: World, manager: User
) -> None:
    make_notifications(world, manager, 1)
    staff.get(LIST)
    with CaptureQueriesContext(
        connection,
    ) as one:
        staff.get(LIST)
    make_notifications(world, manager, 100)

    with CaptureQueriesContext(connection) as many:
        page = staff.get(LIST)

    assert page.status_code == 200
    assert len(many) <= len(one) + 3
    assert len(many) < 30


def test_the_detail_shows_attempts_traceback_and_the_message_as_sent_in_the_reader_s_zone(
    staff: Client, world: World, manager: User
) -> None:
    (row,) = make_notifications(world, manager, 1)

    page = staff.get(f"{LIST}{row.pk}/change/").content.decode()

    assert "Traceback: ValueError" in page
    assert "as it was sent" in page
    assert "550 5.1.1" in page
    assert "2026-03-02 01:00:00 NZDT" in page


def test_the_detail_lists_the_deaths_that_a_quarantined_one_caused(staff: Client, world: World, manager: User) -> None:
    (row,) = make_notifications(world, manager, 1)
    for alone in (False, True):
        Death.objects.create(
            message=row.message,
            worker="harbour:4711",
            alone=alone,
            cause="killed by signal 9 (SIGKILL)",
            noticed_at=NOW,
        )

    page = staff.get(f"{LIST}{row.pk}/change/").content.decode()

    assert page.count("harbour:4711: killed by signal 9 (SIGKILL)") == 2
    assert page.count("it held nothing else") == 1


def test_a_message_s_page_leads_to_the_notifications_that_act_on_it(staff: Client, world: World, manager: User) -> None:
    row, other = make_notifications(world, manager, 2)

    page = staff.get(f"/admin/alerting/message/{row.message_id}/change/").content.decode()
    address = f"{LIST}?message__id__exact={row.message_id}"
    listed = staff.get(address).content.decode()

    assert f'href="{address}"' in page
    assert f"{LIST}{row.pk}/change/" in listed
    assert f"{LIST}{other.pk}/change/" not in listed


@pytest.mark.parametrize("action", ["retry", "cancel", "mark_handled"])
def test_an_action_asks_first_and_changes_nothing_until_confirmed(
    staff: Client, world: World, manager: User, action: str
) -> None:
    rows = make_notifications(world, manager, 2)

    page = post(staff, action, rows)

    assert "are you sure?" in page.content.decode()
    assert not OperatorAction.objects.exists()


def test_a_get_never_acts(staff: Client, world: World, manager: User) -> None:
    (row,) = make_notifications(world, manager, 1)

    staff.get(LIST, {"action": "retry", "index": "0", ACTION_CHECKBOX_NAME: str(row.pk), "confirmed": "yes"})

    row.refresh_from_db()
    assert row.state == "failed"
    assert not OperatorAction.objects.exists()


def test_a_confirmed_retry_is_recorded_with_who_when_and_from_which_state(
    staff: Client, world: World, manager: User
) -> None:
    rows = make_notifications(world, manager, 2)

    post(staff, "retry", rows, confirmed="yes")

    assert set(Notification.objects.values_list("state", flat=True)) == {"pending"}
    action = OperatorAction.objects.get(notification=rows[0])
    assert (action.action, action.by, action.from_state, action.to_state) == ("retry", manager, "failed", "pending")


def test_what_is_refused_is_told_and_holds_back_no_other(staff: Client, world: World, manager: User) -> None:
    (failed,) = make_notifications(world, manager, 1)
    (sent,) = make_notifications(world, manager, 1, state="sent", reason="", sent_at=NOW)

    page = staff.post(
        LIST,
        {"action": "retry", "index": "0", ACTION_CHECKBOX_NAME: [failed.pk, sent.pk], "confirmed": "yes"},
        follow=True,
    ).content.decode()

    assert f"Notification {sent.pk}: it is sent" in page
    assert "Retry: 1 done." in page


def test_staff_of_another_organisation_neither_see_nor_touch_it(client: Client, world: World, manager: User) -> None:
    rows = make_notifications(world, manager, 1)
    stranger = World("other").make_user("zoe@other.example", role="administrator")
    client.force_login(stranger, backend="django.contrib.auth.backends.ModelBackend")

    page = client.get(LIST).content.decode()
    detail = client.get(f"{LIST}{rows[0].pk}/change/")
    post(client, "retry", rows, confirmed="yes")

    assert "refused" not in page
    assert manager.email not in page
    assert rows[0].subscription.rule.name not in page, "the filters must not name foreign rules"
    assert detail.status_code == 302
    rows[0].refresh_from_db()
    assert rows[0].state == "failed"


@pytest.mark.parametrize("what", ["notification", "message", "digest"])
def test_a_list_reads_no_words_however_large_they_are(staff: Client, world: World, manager: User, what: str) -> None:
    for one in make_notifications(world, manager, 2):
        assert one.message is not None
        Digest.objects.create(
            message=one.message, user=one.message.user, channel=one.channel, cadence="daily",
            due_at=NOW + timedelta(days=one.pk),
        )  # fmt: skip

    with CaptureQueriesContext(connection) as asked:
        page = staff.get(f"/admin/alerting/{what}/")

    assert page.status_code == 200
    read = [query["sql"] for query in asked if any(f'"alerting_message"."{words}"' in query["sql"] for words in WORDS)]
    assert not read
