"""The admin site: our name on it, and our own sign-in page in front of it."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse


class WatchkeeperAdminSite(AdminSite):
    """Staff are administrators and managers; what each may touch is decided by `accounts.roles`."""

    site_header = "Watchkeeper"
    site_title = "Watchkeeper"
    index_title = "Operations"

    def index(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        """The list of tables, and beside it what needs somebody."""
        context = {"needs": [need for need in _needs(self, request) if need[0]], **(extra_context or {})}
        return super().index(request, context)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """What is looked at daily comes first."""
        order = ["alerting", "vessels", "accounts", "resilience"]
        apps = super().get_app_list(request, app_label)
        return sorted(apps, key=lambda app: order.index(app["app_label"]) if app["app_label"] in order else len(order))

    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        """One sign-in page for all, with its lock-out and its reset."""
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))


def _needs(site: AdminSite, request: HttpRequest) -> list[tuple[int, str, str]]:
    """How many, of what, and where they are listed: of what the signed-in user may see."""
    wanted: tuple[tuple[str, tuple[str, str], str, dict[str, Any]], ...] = (
        ("alerting.Notification", ("notification ended unsent", "notifications ended unsent"), "state=unhandled",
         {"state__in": ["failed", "stale", "quarantined"], "handled_at__isnull": True}),
        ("alerting.MatchFailure", ("rule failed on an event", "rules failed on an event"), "resolved_at__isempty=1",
         {"resolved_at__isnull": True}),
        ("resilience.CircuitBreaker", ("way out is shut", "ways out are shut"), "",
         {"state__in": ["open", "half_open"]}),
        ("resilience.Incident", ("incident is open", "incidents are open"), "state__exact=open", {"state": "open"}),
    )  # fmt: skip
    needs = []
    for label, (one, many), query, condition in wanted:
        model = apps.get_model(label)
        page = site.get_model_admin(model)
        if page.has_view_permission(request):
            address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            count = page.get_queryset(request).order_by().filter(**condition).count()
            needs.append((count, one if count == 1 else many, f"{address}?{query}"))
    return needs
