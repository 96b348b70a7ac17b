"""The admin site: our name on it, and our own sign-in page in front of it."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse


class WatchkeeperAdminSite(AdminSite):
    """Staff are administrators and managers; what each may touch is decided by `accounts.roles`."""

    site_header = "Watchkeeper"
    site_title = "Watchkeeper"
    index_title = "Operations"

    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        """One sign-in page for all, with its lock-out and its reset."""
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
