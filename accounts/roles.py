"""What each role may do in the admin, in one table.

Every query for a person starts from that person's organisation; a superuser operates the installation and
belongs to none.
"""

from __future__ import annotations

from django.db import models


class Role(models.TextChoices):
    """What a user may do in their organisation."""

    VIEWER = "viewer"
    MANAGER = "manager"
    ADMINISTRATOR = "administrator"


_READ = frozenset({"view"})
_WRITE = frozenset({"view", "add", "change", "delete"})

_MANAGER: dict[str, frozenset[str]] = {
    "vessels.area": _WRITE,
    "vessels.watchlist": _WRITE,
    "vessels.watchlistentry": _WRITE,
    "vessels.vessel": _READ,
    "vessels.vesselidentity": _READ,
    "vessels.event": _READ,
    "alerting.alertrule": _WRITE,
    "alerting.subscription": _WRITE,
    "alerting.subscriptionchannel": _WRITE,
    "alerting.notification": frozenset({"view", "change"}),
    "alerting.message": frozenset({"view", "change"}),
    "alerting.attempt": _READ,
    "alerting.bouncereport": _READ,
    "alerting.death": _READ,
    "alerting.digest": _READ,
    "alerting.operatoraction": _READ,
    "alerting.matchfailure": _READ,
}
_ADMINISTRATOR: dict[str, frozenset[str]] = _MANAGER | {
    "accounts.organisation": frozenset({"view", "change"}),
    "accounts.user": _WRITE,
    "accounts.channel": _WRITE,
}
_ALLOWED = {Role.MANAGER.value: _MANAGER, Role.ADMINISTRATOR.value: _ADMINISTRATOR}


def role_allows(role: str, permission: str) -> bool:
    """Whether `role` includes Django's `permission`, such as `alerting.change_alertrule`."""
    app, _, action_model = permission.partition(".")
    action, _, model = action_model.partition("_")
    return action in _ALLOWED.get(role, {}).get(f"{app}.{model}", frozenset())


def role_reaches_app(role: str, app: str) -> bool:
    """Whether `role` may see any model of `app`."""
    return any(name.startswith(f"{app}.") for name in _ALLOWED.get(role, {}))
