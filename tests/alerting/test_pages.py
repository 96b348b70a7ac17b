"""The pages about alerting: who may see what, and what the forms do."""

from __future__ import annotations

import json

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from accounts.models import Channel, User
from alerting.links import channel_verify_url
from alerting.models import Message, MessageKind, State, Subscription
from tests.alerting.pages_world import (
    PASSWORD,
    THEN,
    event_new,
    notification_new,
    user_new,
    vessel_inside,
    world_new,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_waiting_between_mails() -> None:
    cache.clear()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def path_of(url: str) -> str:
    return "/" + url.split("://", 1)[1].split("/", 1)[1]


@pytest.mark.parametrize("name", ["home", "subscriptions", "channels", "notifications", "map-areas", "map-vessels"])
def test_pages_ask_for_a_sign_in(name: str) -> None:
    response = Client().get(reverse(name))

    assert response.status_code == 302
    assert response["Location"].startswith(reverse("sign-in"))


def test_an_operator_without_an_organisation_is_told_where_to_go() -> None:
    operator = User.objects.create_superuser("root@ops.example", PASSWORD)
    client = signed_in(operator)

    assert "You operate this installation" in client.get("/").content.decode()
    assert client.get(reverse("subscriptions")).status_code == 302


def test_home_lists_who_is_inside_and_the_last_events() -> None:
    world = world_new("moana")
    vessel_inside(world, name="<b>ENDEAVOUR")
    event_new(world)

    page = signed_in(world.user).get("/").content.decode()

    assert "&lt;b&gt;ENDEAVOUR" in page
    assert "has entered area moana box at 06/01/2026 01:00 NZDT" in page


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("</script><script>alert(1)</script>", "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("A\r\nB", "A B"),
        ("\u202eLIVE\u202c", "LIVE"),
        ("🚢 FERRY", "🚢 FERRY"),
        ("W" * 120, "W" * 79 + "…"),
    ],
)
def test_a_hostile_name_is_shown_on_every_page_and_does_nothing(name: str, shown: str) -> None:
    world = world_new("moana")
    vessel_inside(world, name=name)
    notification = notification_new(world, event=event_new(world))
    client = signed_in(world.user)
    paths = (reverse("home"), reverse("notifications"), reverse("notification", args=[notification.pk]))

    for path in (*paths, reverse("admin:alerting_notification_changelist")):
        page = client.get(path).content.decode()
        assert shown in page, path
        assert name not in page or name == shown, path
    (vessel,) = client.get(reverse("map-vessels")).json()["vessels"]
    assert escape(vessel["name"]) == shown


def test_the_lists_are_not_sent_again_when_nothing_changed() -> None:
    world = world_new("moana")
    client = signed_in(world.user)
    digest = client.get("/live").content.decode().split('data-digest="')[1].split('"')[0]

    assert client.get(f"/live?digest={digest}").status_code == 204
    event_new(world)
    assert client.get(f"/live?digest={digest}").status_code == 200


def test_areas_are_whole_across_the_antimeridian_and_only_the_own() -> None:
    world = world_new("moana")
    world_new("other")

    response = signed_in(world.user).get(reverse("map-areas"))
    found = json.loads(response.content)

    assert [feature["properties"]["name"] for feature in found["features"]] == ["moana box"]
    assert found["bbox"] == [170, -40, 190, -30]
    assert len(found["features"][0]["geometry"]["coordinates"]) == 1
    again = signed_in(world.user).get(reverse("map-areas"), headers={"If-None-Match": response["ETag"]})
    assert again.status_code == 304


def test_vessels_say_in_which_own_areas_they_are() -> None:
    world, other = world_new("moana"), world_new("other")
    vessel_inside(world)
    vessel_inside(other)

    found = json.loads(signed_in(world.user).get(reverse("map-vessels")).content)["vessels"]

    assert [(vessel["name"], vessel["inside"]) for vessel in found] == [("ENDEAVOUR", [world.area.pk])]


@pytest.mark.parametrize(("box", "seen"), [("170,-40,190,-30", 1), ("-170,-40,-160,-30", 0)])
def test_a_box_may_cross_the_antimeridian(box: str, seen: int) -> None:
    world, other = world_new("moana"), world_new("other")
    vessel_inside(other)

    found = json.loads(signed_in(world.user).get(reverse("map-vessels"), {"box": box}).content)["vessels"]

    assert len(found) == seen


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "nan,0,1,1"])
def test_a_box_that_makes_no_sense_is_refused(box: str) -> None:
    assert signed_in(world_new("moana").user).get(reverse("map-vessels"), {"box": box}).status_code == 400


def test_a_subscription_is_saved_by_htmx_with_its_next_time() -> None:
    world = world_new("moana")
    form = {"active": "on", "cadence": "weekly", "weekday": "0", "at": "07:30", "channels": world.channel.pk}

    response = signed_in(world.user).post(
        reverse("subscription-save", args=[world.rule.pk]), form, headers={"HX-Request": "true"}
    )

    saved = Subscription.objects.get()
    assert (saved.cadence, saved.weekday, f"{saved.at:%H:%M}", saved.active) == ("weekly", 0, "07:30", True)
    assert [link.channel for link in saved.links.all()] == [world.channel]
    page = response.content.decode()
    assert "✓ Saved" in page
    assert "next: <strong>" in page
    assert "07:30 NZ" in page


def test_a_subscription_without_a_channel_is_not_saved() -> None:
    world = world_new("moana")

    response = signed_in(world.user).post(
        reverse("subscription-save", args=[world.rule.pk]),
        {"active": "on", "cadence": "realtime"},
        headers={"HX-Request": "true"},
    )

    assert not Subscription.objects.exists()
    assert "Choose at least one channel" in response.content.decode()


def test_a_subscription_changes_its_cadence_in_place() -> None:
    world = world_new("moana")
    client, url = signed_in(world.user), reverse("subscription-save", args=[world.rule.pk])
    form = {"active": "on", "cadence": "realtime", "channels": world.channel.pk}
    client.post(url, form)
    first = Subscription.objects.get()

    client.post(url, form | {"cadence": "daily", "at": "09:00", "subscription": first.pk})

    changed = Subscription.objects.get()
    assert (changed.pk, changed.cadence, f"{changed.at:%H:%M}") == (first.pk, "daily", "09:00")


def test_a_rule_is_told_at_once_and_daily_besides() -> None:
    world = world_new("moana")
    client, url = signed_in(world.user), reverse("subscription-save", args=[world.rule.pk])
    form = {"active": "on", "channels": world.channel.pk}
    before = client.get(reverse("subscriptions")).content.decode()

    first = client.post(url, form | {"cadence": "realtime"}, headers={"HX-Request": "true"}).content.decode()
    client.post(url, form | {"cadence": "daily", "at": "08:00"})
    client.post(url, form | {"cadence": "weekly", "at": "08:00", "weekday": "4"})

    assert "Another way besides" not in before
    assert "Another way besides" in first
    assert first.count('value="realtime"') == 1  # offered by its own form only
    assert first.count('value="daily"') == 2
    assert set(Subscription.objects.values_list("cadence", flat=True)) == {"realtime", "daily", "weekly"}
    assert "Another way besides" not in client.get(reverse("subscriptions")).content.decode()


def test_another_way_that_cannot_be_saved_is_shown_as_it_was_asked_for() -> None:
    world = world_new("moana")
    client, url = signed_in(world.user), reverse("subscription-save", args=[world.rule.pk])
    client.post(url, {"active": "on", "cadence": "realtime", "channels": world.channel.pk})

    wrong = client.post(url, {"active": "on", "cadence": "daily"}, headers={"HX-Request": "true"}).content.decode()

    assert Subscription.objects.count() == 1
    assert '<details class="subscription-besides" open>' in wrong
    assert "Choose at least one channel" in wrong


def test_another_organisation_s_rule_is_not_found() -> None:
    world, other = world_new("moana"), world_new("other")
    form = {"active": "on", "cadence": "realtime", "channels": world.channel.pk}

    response = signed_in(world.user).post(reverse("subscription-save", args=[other.rule.pk]), form)

    assert response.status_code == 404


def test_another_user_s_channel_cannot_be_chosen() -> None:
    world, other = world_new("moana"), world_new("other")
    form = {"active": "on", "cadence": "realtime", "channels": other.channel.pk}

    signed_in(world.user).post(reverse("subscription-save", args=[world.rule.pk]), form)

    assert not Subscription.objects.exists()


def test_a_new_channel_works_after_its_link_is_confirmed() -> None:
    world = world_new("moana")
    signed_in(world.user).post(reverse("channels"), {"kind": "email", "name": "desk", "address": "desk@moana.example"})
    channel = Channel.objects.get(name="desk")
    assert mail.outbox[0].to == ["desk@moana.example"]
    link = path_of(next(line for line in mail.outbox[0].body.splitlines() if line.startswith("http")))

    Client().get(link)
    channel.refresh_from_db()
    assert channel.verified_at is None  # a mail scanner's look proves nothing
    Client().post(link)

    channel.refresh_from_db()
    assert channel.is_usable


def test_a_disabled_channel_works_again_once_confirmed() -> None:
    world = world_new("moana")
    Channel.objects.filter(pk=world.channel.pk).update(
        disabled_at="2026-01-01T00:00Z", disabled_reason="550 no such user"
    )
    client = signed_in(world.user)
    assert "550 no such user" in client.get(reverse("channels")).content.decode()

    Client().post(path_of(channel_verify_url(world.channel)))

    world.channel.refresh_from_db()
    assert world.channel.is_usable


def test_a_link_to_an_address_that_changed_proves_nothing() -> None:
    world = world_new("moana")
    link = path_of(channel_verify_url(world.channel))
    Channel.objects.filter(pk=world.channel.pk).update(address="else@moana.example", verified_at=None)

    assert Client().post(link).status_code == 410


def test_a_test_message_waits_in_the_queue_once_a_minute() -> None:
    world = world_new("moana")
    client, url = signed_in(world.user), reverse("channel-test", args=[world.channel.pk])

    client.post(url)
    client.post(url)

    message = Message.objects.get()
    assert (message.kind, message.state, message.channel) == (MessageKind.TEST, State.PENDING, world.channel)


def test_another_user_s_channel_is_not_found() -> None:
    world, other = world_new("moana"), world_new("other")

    assert signed_in(world.user).post(reverse("channel-test", args=[other.channel.pk])).status_code == 404


def test_viewers_see_their_own_notifications_and_managers_all() -> None:
    world = world_new("moana")
    viewer = user_new(world.organisation, "ben@moana.example", role="viewer")
    managers = notification_new(world, event=event_new(world))
    viewers = notification_new(world, event=event_new(world, minute=1), user=viewer)

    as_viewer, as_manager = signed_in(viewer), signed_in(world.user)

    assert as_viewer.get(reverse("notification", args=[viewers.pk])).status_code == 200
    assert as_viewer.get(reverse("notification", args=[managers.pk])).status_code == 404
    assert as_manager.get(reverse("notification", args=[viewers.pk])).status_code == 200


def test_another_organisation_s_notification_is_not_found() -> None:
    world, other = world_new("moana"), world_new("other")
    foreign = notification_new(other, event=event_new(other))
    client = signed_in(world.user)

    assert client.get(reverse("notification", args=[foreign.pk])).status_code == 404
    assert client.get(reverse("notification-message", args=[foreign.pk])).status_code == 404
    assert "other box" not in client.get(reverse("notifications")).content.decode()


def test_a_failure_is_shown_on_home_and_in_the_history_with_its_reason() -> None:
    world = world_new("moana")
    notification_new(world, event=event_new(world), state=State.FAILED, reason="550 no such user")
    client = signed_in(world.user)

    assert "1 notification of the last 7 days could not be sent" in client.get("/").content.decode()
    assert "550 no such user" in client.get(reverse("notifications"), {"state": "not_sent"}).content.decode()
    assert "Nothing fits" in client.get(reverse("notifications"), {"state": "sent"}).content.decode()


def test_the_message_as_sent_is_shown_in_a_sandbox() -> None:
    world = world_new("moana")
    notification = notification_new(world, event=event_new(world))

    response = signed_in(world.user).get(reverse("notification-message", args=[notification.pk]))

    assert "The page as sent" in response.content.decode()
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert "sandbox" in response["Content-Security-Policy"]
    assert "default-src 'none'" in response["Content-Security-Policy"]


def test_older_notifications_stand_on_the_next_page() -> None:
    world = world_new("moana")
    for minute in range(26):
        notification_new(world, event=event_new(world, minute=minute))
    client = signed_in(world.user)

    first = client.get(reverse("notifications")).content.decode()
    older = first.split("before=")[1].split('"')[0]

    assert first.count('class="history-row"') == 25
    assert client.get(reverse("notifications"), {"before": older}).content.decode().count('class="history-row"') == 1


def test_a_disabled_channel_stays_on_top_of_every_page_until_it_is_confirmed() -> None:
    world = world_new("moana", role="viewer")
    Channel.objects.filter(user=world.user).update(disabled_at=THEN, disabled_reason="It refused <3> messages.")
    manager = user_new(world.organisation, "mia@moana.example", role="manager")
    stranger = user_new(world_new("other").organisation, "boss@other.example", role="manager")

    own = signed_in(world.user).get(reverse("subscriptions")).content.decode()
    managers = signed_in(manager).get(reverse("subscriptions")).content.decode()
    strangers = signed_in(stranger).get(reverse("subscriptions")).content.decode()

    assert "No alert reaches you on" in own
    assert "It refused &lt;3&gt; messages." in own
    assert "1 channel of others in" in managers
    assert "No alert reaches you" not in managers
    assert "used no more" not in strangers
