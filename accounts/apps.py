from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Organisations, users with their time zones, and the channels that reach them."""

    name = "accounts"
