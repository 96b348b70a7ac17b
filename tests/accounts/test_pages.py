"""Signing in, invitations, the profile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts.invitations import InvitationFault, invitation_send, invitation_url
from accounts.models import Organisation, User

pytestmark = pytest.mark.django_db

PASSWORD = "correct-horse-battery"
THEN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture
def organisation() -> Organisation:
    return Organisation.objects.create(slug="moana", name="Moana", time_zone="Pacific/Auckland")


@pytest.fixture
def user(organisation: Organisation) -> User:
    return User.objects.create_user("ana@moana.example", PASSWORD, organisation=organisation)


@pytest.fixture
def invited(organisation: Organisation) -> User:
    return User.objects.create_user("new@moana.example", organisation=organisation, time_zone="Pacific/Auckland")


def path_of(url: str) -> str:
    return "/" + url.split("://", 1)[1].split("/", 1)[1]


def sign_in(client: Client, email: str, password: str = PASSWORD, **extra: str) -> int:
    return client.post(reverse("sign-in"), {"username": email, "password": password} | extra).status_code


def test_an_address_in_any_case_signs_in(user: User) -> None:
    assert sign_in(Client(), "Ana@Moana.example") == 302


def test_a_deleted_user_is_told_the_same_as_an_unknown_one(user: User) -> None:
    User.objects.filter(pk=user.pk).update(deleted_at=THEN)

    assert sign_in(Client(), user.email) == 200
    assert sign_in(Client(), "nobody@moana.example") == 200


def test_many_failures_lock_the_user_out_with_a_page_that_says_so(user: User) -> None:
    client = Client()
    for _ in range(10):
        sign_in(client, user.email.title(), "wrong")

    response = client.post(reverse("sign-in"), {"username": user.email, "password": PASSWORD})

    assert response.status_code == 429
    assert "Too many tries" in response.content.decode()


def test_a_viewer_who_wants_the_admin_is_told_and_not_sent_around(user: User) -> None:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    response = client.get(reverse("admin:index"), follow=True)

    assert response.status_code == 403


def test_a_sign_in_leads_only_to_this_site(user: User) -> None:
    client = Client()

    response = client.post(
        reverse("sign-in"), {"username": user.email, "password": PASSWORD, "next": "https://elsewhere.example/"}
    )

    assert response["Location"] == "/"


def test_a_forgotten_password_is_mailed_with_a_link_to_this_site_whatever_the_host_header(user: User) -> None:
    client = Client(headers={"Host": "localhost"})
    client.post(reverse("forgotten-password"), {"email": "ANA@moana.example"})

    link = next(line for line in mail.outbox[0].body.splitlines() if line.startswith("http"))
    page = client.get(path_of(link), follow=True)
    form = {"new_password1": "an-entirely-new-one", "new_password2": "an-entirely-new-one"}
    client.post(page.redirect_chain[-1][0], form)

    assert sign_in(Client(), user.email, "an-entirely-new-one") == 302


def test_an_unknown_address_gets_no_mail_and_the_same_answer(user: User) -> None:
    response = Client().post(reverse("forgotten-password"), {"email": "nobody@moana.example"})

    assert response.status_code == 302
    assert not mail.outbox


def test_an_invitation_is_accepted_once(invited: User) -> None:
    invitation_send(user=invited, by=None, at=THEN)
    link = path_of(invitation_url(invited))
    assert link in mail.outbox[0].body
    form = {"name": "Ana", "time_zone": "Pacific/Chatham", "new_password1": PASSWORD, "new_password2": PASSWORD}

    response = Client().post(link, form)

    invited.refresh_from_db()
    assert response.status_code == 302
    assert (invited.name, invited.time_zone, invited.check_password(PASSWORD)) == ("Ana", "Pacific/Chatham", True)
    assert Client().post(link, form).status_code == 410


def test_a_look_at_an_invitation_accepts_nothing(invited: User) -> None:
    invitation_send(user=invited, by=None, at=THEN)

    page = Client().get(path_of(invitation_url(invited)))

    invited.refresh_from_db()
    assert 'data-suggest-zone="Pacific/Auckland"' in page.content.decode()
    assert not invited.has_usable_password()


def test_a_newer_invitation_replaces_the_older(invited: User) -> None:
    invitation_send(user=invited, by=None, at=THEN)
    older = path_of(invitation_url(invited))
    invitation_send(user=invited, by=None, at=THEN + timedelta(hours=1))

    assert Client().get(older).status_code == 410


def test_a_user_with_a_password_is_not_invited(user: User) -> None:
    with pytest.raises(InvitationFault):
        invitation_send(user=user, by=None, at=THEN)


def test_the_profile_refuses_a_zone_that_does_not_exist(user: User) -> None:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    response = client.post(
        reverse("profile"), {"name": "Ana", "time_zone": "Pacific/Atlantis", "date_format": "yyyy-mm-dd"}
    )

    assert "is not an IANA time zone" in response.content.decode()


def test_the_profile_shows_how_dates_will_look_while_choosing(user: User) -> None:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    shown = client.get(reverse("date-example"), {"time_zone": "Pacific/Chatham", "date_format": "yyyy-mm-dd"})

    assert "UTC+1" in shown.content.decode()


def test_pages_carry_a_strict_policy() -> None:
    policy = Client().get(reverse("sign-in"))["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy


@pytest.mark.parametrize("path", ["/nothing", "/subscriptions/999/x"])
def test_an_unknown_page_says_so_kindly(path: str) -> None:
    response = Client().get(path)

    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()
