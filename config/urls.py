"""Every address of the site."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("alerting.urls")),
    path("", include("accounts.urls")),
    path("admin/", admin.site.urls),
    path("", include("resilience.urls")),
    path("", include("django_prometheus.urls")),
]
if settings.ANYMAIL_PROVIDER:
    urlpatterns.append(path("anymail/", include("anymail.urls")))
