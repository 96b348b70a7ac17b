"""Admin pages that show staff their own organisation's rows only (invariant 11: tenants never meet).

A superuser operates the installation and sees all.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.filters import RelatedFieldListFilter
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from accounts.models import User

# From a model to its organisation, for what a form may offer to choose from.
_PATHS = {
    "accounts.Organisation": "pk",
    "accounts.User": "organisation",
    "accounts.Channel": "user__organisation",
    "vessels.Area": "organisation",
    "vessels.Watchlist": "organisation",
    "alerting.AlertRule": "organisation",
    "alerting.Subscription": "organisation",
}


class ScopedFilter(RelatedFieldListFilter):
    """Offers the rows that the user may see, by name only: an area's geometry is large."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(row.pk), str(row)) for row in scoped_rows(field.remote_field.model, request)]


class ScopedAdmin(admin.ModelAdmin):
    """`organisation_path` leads from the model to its organisation; None: the same for everybody."""

    organisation_path: ClassVar[str | None] = "organisation"
    shared_too: ClassVar[bool] = False  # also rows of no organisation
    heavy: ClassVar[tuple[str, ...]] = ()  # columns that a list does not need
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).defer(*self.heavy)
        user = staff_of(request)
        if user.is_superuser or self.organisation_path is None:
            return rows
        own = Q(**{self.organisation_path: user.organisation_id})
        return rows.filter(own | Q(**{f"{self.organisation_path}__isnull": True}) if self.shared_too else own)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", _choices(db_field, request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", _choices(db_field, request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: bool) -> None:
        self.adopt(request, obj)
        super().save_model(request, obj, form, change)

    def adopt(self, request: HttpRequest, obj: models.Model) -> None:
        """A row made by an organisation's staff belongs to that organisation, whatever the form said."""
        user = staff_of(request)
        if self.organisation_path == "organisation" and not user.is_superuser:
            obj.organisation_id = user.organisation_id  # type: ignore[attr-defined]

    def get_exclude(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        """Only a superuser chooses the organisation."""
        hidden = list(super().get_exclude(request, obj) or [])
        if self.organisation_path == "organisation" and not staff_of(request).is_superuser:
            hidden.append("organisation")
        return hidden

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """What is shared with all is changed by the operator only."""
        return super().has_change_permission(request, obj) and self._owns(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._owns(request, obj)

    def _owns(self, request: HttpRequest, obj: models.Model | None) -> bool:
        if obj is None or not self.shared_too or staff_of(request).is_superuser:
            return True
        return getattr(obj, "organisation_id", None) is not None


class ReadOnlyAdmin(ScopedAdmin):
    """Rows that only the program writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class ReadOnlyInline(admin.TabularInline):
    """Rows beneath their owner that only the program writes."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def staff_of(request: HttpRequest) -> User:
    """Who is signed in."""
    user = request.user
    if not isinstance(user, User):
        raise PermissionError("only a signed-in user reaches the admin")
    return user


def _choices(db_field: Any, request: HttpRequest) -> QuerySet[Any]:
    """The rows that a form may offer: those that the user may see, and not archived or deleted."""
    model = db_field.remote_field.model
    rows = scoped_rows(model, request)
    for ended in ("archived_at", "deleted_at"):
        if any(field.name == ended for field in model._meta.get_fields()):
            rows = rows.filter(**{f"{ended}__isnull": True})
    return rows


def scoped_rows(model: Any, request: HttpRequest) -> QuerySet[Any]:
    """The rows of the user's organisation, or shared; all for a superuser."""
    rows: QuerySet[Any] = model._default_manager.all()
    if model._meta.label == "vessels.Area":
        rows = rows.defer("geometry")
    path = _PATHS.get(model._meta.label)
    user = staff_of(request)
    if path is None or user.is_superuser:
        return rows
    own = Q(**{path: user.organisation_id})
    return rows.filter(own | Q(organisation__isnull=True) if model._meta.label == "vessels.Area" else own)
