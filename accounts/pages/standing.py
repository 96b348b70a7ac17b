"""What stays on top of every page until somebody acts: channels that are used no more."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Channel, User
from accounts.roles import role_allows


def standing(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `standing.own`, the user's disabled channels, and `standing.others`, how many other users of
    the organisation have one, for who may see them. Asked of the database only where a page shows it."""
    user = getattr(request, "user", None)
    if not isinstance(user, User) or user.organisation_id is None:
        return {}
    return {"standing": SimpleLazyObject(lambda: _of(user))}


def _of(user: User) -> dict[str, Any]:
    disabled = Channel.objects.filter(
        user__organisation=user.organisation_id, user__deleted_at__isnull=True, disabled_at__isnull=False
    )
    others = disabled.exclude(user=user).count() if role_allows(user.role, "alerting.view_message") else 0
    return {"own": list(disabled.filter(user=user).order_by("pk")), "others": others}
