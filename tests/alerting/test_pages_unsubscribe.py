"""The way out of a subscription: one click from a mail program (RFC 8058), a form for people, nothing for scanners."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from accounts.models import User
from alerting.links import UNSUBSCRIBE_SALT, unsubscribe_url
from alerting.models import AlertRule, Message, State, Subscription
from tests.alerting.pages_world import World, event_new, notification_new, user_new, world_new

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return world_new("moana")


def subscribed(world: World, number: int = 1) -> list[Subscription]:
    rules = [
        AlertRule.objects.create(organisation=world.organisation, name=f"rule {each}", kinds=["entered"])
        for each in range(number)
    ]
    return [Subscription.objects.create(organisation=world.organisation, user=world.user, rule=rule) for rule in rules]


def path_of(several: list[Subscription], world: World, message: Message | None = None) -> str:
    url = unsubscribe_url(several, user_id=world.user.pk, message_id=message and message.pk)
    return "/" + url.split("/", 3)[3]


def message_sent(world: World, *, minutes_ago: float, user: User | None = None) -> Message:
    message = notification_new(world, event=event_new(world, minute=Message.objects.count()), user=user).message
    assert message is not None
    message.sent_at = timezone.now() - timedelta(minutes=minutes_ago)
    message.save()
    return message


def left() -> list[Subscription]:
    return list(Subscription.objects.filter(deleted_at__isnull=True, active=True).order_by("pk"))


def heading(page: str) -> str:
    return page.split('<h1 id="title">')[1].split("</h1>")[0]


def test_a_scanner_s_look_ends_nothing(world: World) -> None:
    going = subscribed(world)

    page = Client().get(path_of(going, world, message_sent(world, minutes_ago=4))).content.decode()

    assert left()[: len(going)] == going
    assert "data-submit-itself" not in page


def test_five_minutes_after_its_message_was_sent_it_is_a_person_who_need_not_click_twice(world: World) -> None:
    going = subscribed(world)

    page = Client().get(path_of(going, world, message_sent(world, minutes_ago=5.1))).content.decode()

    assert left()[: len(going)] == going
    assert "data-submit-itself" in page


def test_a_link_that_is_older_than_its_message_s_sending_asks(world: World) -> None:
    message = message_sent(world, minutes_ago=0)
    with mock.patch("django.core.signing.time.time", return_value=timezone.now().timestamp() - 601):
        path = path_of(subscribed(world), world, message)

    page = Client().get(path).content.decode()

    assert "data-submit-itself" not in page


def test_a_link_whose_message_was_not_sent_or_is_somebody_else_s_asks(world: World) -> None:
    going = subscribed(world)
    other = user_new(world.organisation, "mia@moana.example", role="viewer")
    pending, others = message_sent(world, minutes_ago=60), message_sent(world, minutes_ago=60, user=other)
    Message.objects.filter(pk=pending.pk).update(state=State.PENDING, sent_at=None)

    pages = [Client().get(path_of(going, world, message)).content.decode() for message in (pending, others, None)]

    assert not any("data-submit-itself" in page for page in pages)


def test_a_link_of_a_former_version_still_lets_its_reader_out(world: World) -> None:
    going = subscribed(world)
    token = signing.dumps([world.user.pk, [going[0].pk]], salt=UNSUBSCRIBE_SALT, compress=True)

    asked = Client().get(f"/unsubscribe/{token}/").content.decode()
    ended = Client().post(f"/unsubscribe/{token}/")

    assert "data-submit-itself" not in asked
    assert ended.status_code == 200
    assert left() == []


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "delete"])
def test_nothing_but_a_post_unsubscribes(world: World, method: str) -> None:
    going = subscribed(world)

    getattr(Client(), method)(path_of(going, world))

    assert left() == going


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_needs_neither_session_nor_csrf_token(world: World, content_type: str) -> None:
    """RFC 8058, section 3.2 allows both forms of the body."""
    going = subscribed(world)
    client = Client(enforce_csrf_checks=True)
    said = {
        "application/x-www-form-urlencoded": b"List-Unsubscribe=One-Click",
        "multipart/form-data": b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
        b"One-Click\r\n--x--\r\n",
    }[content_type]

    response = client.post(path_of(going, world), said, content_type=f"{content_type}; boundary=x")

    assert response.status_code == 200
    assert left() == []


def test_a_second_click_is_taken_too_and_others_stay(world: World) -> None:
    first, second, other = subscribed(world, 3)
    path = path_of([first, second], world)

    said = [Client().post(path, {"List-Unsubscribe": "One-Click"}).status_code for _ in range(2)]

    assert said == [200, 200]
    assert left() == [other]


def test_the_pages_say_whose_subscriptions_they_are_and_which(world: World) -> None:
    """A link may stand in a shared Slack channel, or in a mail that was passed on."""
    path = path_of(subscribed(world, 2), world)

    pages = [page.content.decode() for page in (Client().get(path), Client().post(path), Client().get(path))]

    assert [heading(page) for page in pages] == [
        "Unsubscribe?",
        "You are unsubscribed",
        "You are unsubscribed already",
    ]
    assert all(f"{world.user.name}, you" in page and "rule 0" in page and "rule 1" in page for page in pages)


def test_the_pages_show_nobody_s_address(world: World) -> None:
    User.objects.filter(pk=world.user.pk).update(name="")
    path = path_of(subscribed(world), world)

    pages = [page.content.decode() for page in (Client().get(path), Client().post(path), Client().get(path))]

    assert not any(world.user.email in page for page in pages)
    assert all("The person whom the message was for" in page for page in pages)


def test_a_deleted_user_s_link_promises_no_way_back(world: World) -> None:
    path = path_of(subscribed(world), world, message_sent(world, minutes_ago=60))
    User.objects.filter(pk=world.user.pk).update(deleted_at=timezone.now())

    pages = [page.content.decode() for page in (Client().get(path), Client().post(path))]

    assert [heading(page) for page in pages] == ["You are unsubscribed"] * 2
    assert all("Your account was deleted" in page and "subscriptions/" not in page for page in pages)


def test_a_link_over_hundreds_of_subscriptions_fits_a_line_of_a_header(world: World) -> None:
    several = subscribed(world, 200)

    url = unsubscribe_url(several, user_id=world.user.pk)

    assert len(url) < 900
    assert Client().post(path_of(several, world)).status_code == 200
    assert left() == []


def test_a_damaged_link_is_refused() -> None:
    assert Client().post("/unsubscribe/nonsense/").status_code == 410
