"""Who may enter the admin, what each role reaches there, and that tenants never meet."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client

from accounts.models import User
from tests.alerting.world import World

pytestmark = pytest.mark.django_db
PAGES = {
    "vessels/area": "manager", "vessels/watchlist": "manager", "vessels/event": "manager",
    "vessels/vessel": "manager", "alerting/alertrule": "manager", "alerting/subscription": "manager",
    "alerting/notification": "manager", "alerting/message": "manager", "alerting/digest": "manager",
    "alerting/operatoraction": "manager", "alerting/matchfailure": "manager",
    "accounts/organisation": "administrator", "accounts/user": "administrator", "accounts/channel": "administrator",
    "resilience/deploymentrun": "operator", "resilience/workerdeath": "operator",
    "vessels/feed": "operator", "alerting/sendcyclerun": "operator", "resilience/circuitbreaker": "operator",
    "resilience/incident": "operator", "resilience/heartbeat": "operator", "django_q/ormq": "operator",
    "django_q/failure": "operator", "axes/accessattempt": "operator",
}  # fmt: skip
RANKS = ["manager", "administrator", "operator"]


@pytest.fixture
def world() -> World:
    return World()


def sign_in(client: Client, world: World, role: str) -> User:
    fields = {"is_superuser": True} if role == "operator" else {"role": role}
    user = world.make_user(f"{role}@moana.example", **fields)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return user


def test_a_viewer_cannot_enter(client: Client, world: World) -> None:
    sign_in(client, world, "viewer")

    assert client.get("/admin/").status_code == 302
    assert client.get("/admin/alerting/notification/").status_code == 302


@pytest.mark.parametrize("role", RANKS)
def test_each_role_reaches_what_the_table_of_roles_says(client: Client, world: World, role: str) -> None:
    sign_in(client, world, role)

    reached = {page for page in PAGES if client.get(f"/admin/{page}/").status_code == 200}

    assert client.get("/admin/").status_code == 200
    assert reached == {page for page, least in PAGES.items() if RANKS.index(role) >= RANKS.index(least)}


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Pacific/Chatham", "2025-01-01 00:45:00 UTC+13:45"),
        ("Pacific/Auckland", "2025-01-01 00:00:00 NZDT"),
        ("UTC", "2024-12-31 11:00:00 UTC"),
    ],
)
def test_times_are_told_in_the_readers_zone_by_its_letters_or_its_offset(
    client: Client, world: World, zone: str, told: str
) -> None:
    operator = sign_in(client, world, "operator")
    User.objects.filter(pk=operator.pk).update(time_zone=zone, deleted_at=None)
    world.make_user("gone@moana.example", deleted_at=datetime(2024, 12, 31, 11, tzinfo=UTC))

    page = client.get("/admin/accounts/user/").content.decode()

    assert told in page
    assert "+1345" not in page


def test_the_hour_that_happens_twice_has_its_letters(client: Client, world: World) -> None:
    operator = sign_in(client, world, "operator")
    User.objects.filter(pk=operator.pk).update(time_zone="Pacific/Auckland")
    world.make_user("gone@moana.example", deleted_at=datetime(2026, 4, 4, 13, 30, tzinfo=UTC))

    assert "2026-04-05 02:30:00 NZDT" in client.get("/admin/accounts/user/").content.decode()


def test_an_administrator_invites_into_the_own_organisation_only(client: Client, world: World) -> None:
    administrator = sign_in(client, world, "administrator")
    other = World("other")
    sent = {
        "organisation": other.organisation.pk, "email": "new@moana.example", "name": "New", "role": "viewer",
        "time_zone": "UTC", "date_format": administrator.date_format, "is_superuser": "on",
        "channels-TOTAL_FORMS": "0", "channels-INITIAL_FORMS": "0",
    }  # fmt: skip

    answer = client.post("/admin/accounts/user/add/", sent)

    assert answer.status_code == 302
    made = User.objects.get(email="new@moana.example")
    assert made.organisation == world.organisation
    assert not made.is_superuser


def test_foreign_users_are_neither_listed_nor_opened_nor_deleted(client: Client, world: World) -> None:
    sign_in(client, world, "administrator")
    stranger = World("other").make_user("zoe@other.example")

    listed = client.get("/admin/accounts/user/").content.decode()
    opened = client.get(f"/admin/accounts/user/{stranger.pk}/change/")
    client.post("/admin/accounts/user/", {"action": "delete_users", "index": "0", "_selected_action": [stranger.pk]})

    assert stranger.email not in listed
    assert opened.status_code == 302
    stranger.refresh_from_db()
    assert stranger.is_active


def test_the_index_counts_what_needs_somebody_of_the_own_organisation(client: Client, world: World) -> None:
    sign_in(client, world, "manager")

    page = client.get("/admin/").content.decode()

    assert "Needs somebody" in page
    assert "Nothing. All is sent" in page
