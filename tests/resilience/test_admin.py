from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.messages.storage.fallback import FallbackStorage
from django.test import RequestFactory

from resilience.admin import IncidentAdmin
from resilience.models import Incident

pytestmark = pytest.mark.django_db


def test_resolving_says_who_and_when() -> None:
    incident = Incident.objects.create(kind="panic", fingerprint="f", summary="broken")
    request = RequestFactory().post("/admin/")
    request.user = get_user_model()(email="ana@moana.example")
    request.session = {}  # type: ignore[assignment]
    request._messages = FallbackStorage(request)

    IncidentAdmin(Incident, admin.site).resolve(request, Incident.objects.all())

    incident.refresh_from_db()
    assert (incident.state, incident.resolved_by) == ("resolved", "ana@moana.example")
    assert incident.resolved_at is not None


def test_hostile_text_is_escaped_on_the_page() -> None:
    incident = Incident(traceback="<script>", sample={"name": "<script>"})
    shown = IncidentAdmin(Incident, admin.site)

    assert "<script>" not in shown.details(incident) + shown.shown_traceback(incident)


def test_incidents_are_not_written_by_hand() -> None:
    request = RequestFactory().get("/admin/")
    shown = IncidentAdmin(Incident, admin.site)

    assert not shown.has_add_permission(request)
    assert not shown.has_change_permission(request)
    assert not shown.has_delete_permission(request)
