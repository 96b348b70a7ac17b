from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import Settings

from resilience import views
from resilience.heartbeats import beat
from resilience.request_id import RequestIdMiddleware

FACTORY = RequestFactory()


def test_healthz_needs_no_database() -> None:
    assert views.healthz(FACTORY.get("/healthz")).status_code == 200


def test_readyz_without_a_database_is_503() -> None:
    answer = views.readyz(FACTORY.get("/readyz"))  # the test may not use the database

    assert answer.status_code == 503
    assert b'"database": "failed' in answer.content


@pytest.mark.django_db
def test_readyz_is_200_when_all_is_well(settings: Settings) -> None:
    settings.EXPECTED_HEARTBEATS = {"watch": timedelta(minutes=1)}
    beat("watch", now=timezone.now())

    assert views.readyz(FACTORY.get("/readyz")).status_code == 200


@pytest.mark.django_db
def test_readyz_names_the_silent_part(settings: Settings) -> None:
    settings.EXPECTED_HEARTBEATS = {"watch": timedelta(minutes=1)}
    beat("watch", now=timezone.now() - timedelta(minutes=5))

    answer = views.readyz(FACTORY.get("/readyz"))

    assert answer.status_code == 503
    assert b"silent: watch" in answer.content


@pytest.mark.django_db
def test_readyz_counts_migrations_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_unapplied", lambda: 2)

    assert b"2 not applied" in views.readyz(FACTORY.get("/readyz")).content


@pytest.mark.parametrize(("given", "kept"), [("abcdef-123456", True), ("x\r\ny: z", False), ("short", False)])
def test_a_request_has_an_id(given: str, kept: bool) -> None:
    middleware = RequestIdMiddleware(views.healthz)

    answer = middleware(FACTORY.get("/", headers={"X-Request-ID": given}))

    assert (answer["X-Request-ID"] == given) is kept
