"""The rule form: faults beside their fields, a version for each change, areas in use kept, tenants apart."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from alerting.models import AlertRule
from tests.alerting.world import World
from vessels.models import AreaUse

pytestmark = pytest.mark.django_db
ADD = "/admin/alerting/alertrule/add/"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def staff(client: Client, world: World) -> Client:
    manager = world.make_user(role="manager")
    client.force_login(manager, backend="django.contrib.auth.backends.ModelBackend")
    return client


def filled(world: World, **fields: Any) -> dict[str, Any]:
    rest = {"versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}
    return {
        "name": "Dark", "kinds": ["missing"], "areas": [world.area.pk], "missing_for": "06:00:00", "flags": "",
        "severity": "normal", "active": "on", "template": "",
    } | rest | fields  # fmt: skip


def errors(page: Any) -> dict[str, Any]:
    return dict(page.context["adminform"].form.errors)


def test_missing_for_all_vessels_is_refused_beside_accept_noise(staff: Client, world: World) -> None:
    page = staff.post(ADD, filled(world))

    assert list(errors(page)) == ["accept_noise"]
    assert "needs accept_noise" in page.content.decode()
    assert not AlertRule.objects.exists()


def test_saving_makes_a_version_and_tells_the_watch_what_to_look_for(staff: Client, world: World) -> None:
    page = staff.post(ADD, filled(world, accept_noise="on", flags="dk, se"))

    assert page.status_code == 302
    rule = AlertRule.objects.get()
    assert rule.organisation == world.organisation
    assert rule.flags == ["DK", "SE"]
    assert rule.version == 1
    assert rule.versions.get().content["areas"] == [world.area.pk]
    assert set(AreaUse.objects.values_list("duration", flat=True)) == {None, timedelta(hours=6)}


def test_a_changed_area_list_is_a_new_version(staff: Client, world: World) -> None:
    staff.post(ADD, filled(world, accept_noise="on"))
    rule = AlertRule.objects.get()
    second = world.make_area("Strait")

    staff.post(f"/admin/alerting/alertrule/{rule.pk}/change/", filled(world, accept_noise="on", areas=[second.pk]))

    rule.refresh_from_db()
    assert rule.version == 2
    assert set(AreaUse.objects.values_list("area", flat=True)) == {second.pk}


def test_another_organisation_s_area_or_watchlist_cannot_be_chosen(staff: Client, world: World) -> None:
    other = World("other")
    watchlist = other.organisation.watchlists.create(name="Theirs")

    page = staff.post(ADD, filled(world, areas=[other.area.pk], watchlist=watchlist.pk))

    assert set(errors(page)) == {"areas", "watchlist"}


def test_a_subscription_offers_only_own_users_rules_and_channels(staff: Client, world: World) -> None:
    other = World("other")
    stranger = other.make_user("zoe@other.example")
    channel = other.make_channel(stranger)
    rule = other.make_rule("Their rule")
    sent = {
        "user": stranger.pk, "rule": rule.pk, "cadence": "realtime", "active": "on", "links-TOTAL_FORMS": "1",
        "links-INITIAL_FORMS": "0", "links-MIN_NUM_FORMS": "1", "links-0-channel": channel.pk,
    }  # fmt: skip

    shown = staff.get("/admin/alerting/subscription/add/").content.decode()
    page = staff.post("/admin/alerting/subscription/add/", sent)

    assert stranger.email not in shown
    assert "Their rule" not in shown
    assert set(errors(page)) == {"user", "rule"}


def test_a_foreign_rule_is_not_found(staff: Client) -> None:
    theirs = World("other").make_rule("Their rule")

    page = staff.get(f"/admin/alerting/alertrule/{theirs.pk}/change/")

    assert page.status_code == 302
    assert "Their rule" not in staff.get("/admin/alerting/alertrule/").content.decode()
