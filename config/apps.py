"""The admin site of our own in place of Django's default."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class WatchkeeperAdminConfig(AdminConfig):
    """Points `django.contrib.admin` at our site, which signs people in by our own page."""

    default_site = "config.admin.WatchkeeperAdminSite"
