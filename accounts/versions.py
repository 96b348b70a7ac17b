"""Versions of what an event or a notification must be able to point back to: areas and alert rules.

An owner keeps its current `version` number; each number's content stays for ever in the owner's version
table. Saving the same content again makes no new version.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from accounts.models import User


class Version(models.Model):
    """One version of an owner. A subclass adds `owner`, a foreign key with `related_name="versions"`."""

    number = models.PositiveIntegerField()
    content = models.JSONField()
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"version {self.number}"


class Versioned(models.Model):
    """An owner of versions. A subclass says what its content is."""

    version = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        abstract = True

    def version_content(self) -> dict[str, Any]:
        """What a version keeps, as plain JSON."""
        raise NotImplementedError


def version_record(owner: Any, *, at: datetime, by: User | None = None) -> int:
    """Keep `owner`'s present content as a new version unless it equals the last; return the number in force.

    Call it in the transaction that saves `owner`, after saving it: the row's lock makes numbers gapless.
    """
    manager = type(owner)._default_manager
    manager.select_for_update().only("pk").get(pk=owner.pk)
    content = owner.version_content()
    last = owner.versions.order_by("-number").first()
    if last is None or last.content != content:
        last = owner.versions.create(
            number=1 if last is None else last.number + 1, content=content, created_at=at, created_by=by
        )
    if owner.version != last.number:
        owner.version = last.number
        manager.filter(pk=owner.pk).update(version=last.number)
    return int(last.number)
