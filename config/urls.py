"""Every address of the site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("alerting.urls")),
    path("", include("accounts.urls")),
    path("admin/", admin.site.urls),
    path("", include("resilience.urls")),
    path("", include("django_prometheus.urls")),
]
