"""The way out of a subscription: one click from a mail program (RFC 8058), a form for people, nothing for scanners."""

from __future__ import annotations

import time
from unittest import mock

import pytest
from django.test import Client

from alerting.links import unsubscribe_url
from alerting.models import AlertRule, Subscription
from tests.alerting.pages_world import World, world_new

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


def path_of(several: list[Subscription], world: World) -> str:
    return "/" + unsubscribe_url(several, world.user).split("/", 3)[3]


def left() -> list[Subscription]:
    return list(Subscription.objects.filter(deleted_at__isnull=True, active=True).order_by("pk"))


def test_a_scanner_s_look_ends_nothing(world: World) -> None:
    going = subscribed(world)

    page = Client().get(path_of(going, world)).content.decode()

    assert left() == going
    assert "data-submit-itself" not in page


def test_five_minutes_later_it_is_a_person_who_need_not_click_twice(world: World) -> None:
    going = subscribed(world)
    with mock.patch("django.core.signing.time.time", return_value=time.time() - 301):
        path = path_of(going, world)

    page = Client().get(path).content.decode()

    assert left() == going
    assert "data-submit-itself" in page


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


def test_a_link_over_hundreds_of_subscriptions_fits_a_line_of_a_header(world: World) -> None:
    several = subscribed(world, 200)

    url = unsubscribe_url(several, world.user)

    assert len(url) < 900
    assert Client().post(path_of(several, world)).status_code == 200
    assert left() == []


def test_a_damaged_link_is_refused() -> None:
    assert Client().post("/unsubscribe/nonsense/").status_code == 410
