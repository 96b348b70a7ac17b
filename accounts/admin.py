"""Organisations, users and channels in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin_scope import ScopedAdmin, ScopedFilter, staff_of
from accounts.invitations import invitation_send
from accounts.models import Channel, Organisation, User
from accounts.people import user_delete

admin.site.unregister(Group)  # roles say who may do what: `accounts.roles`


class ChannelInline(admin.TabularInline):
    model = Channel
    extra = 0
    fields = ["name", "kind", "address", "verified_at", "disabled_at", "disabled_reason"]
    readonly_fields = ["verified_at", "disabled_at", "disabled_reason"]


@admin.register(Organisation)
class OrganisationAdmin(ScopedAdmin):
    organisation_path = "pk"
    list_display = ["name", "slug", "time_zone"]
    search_fields = ["name", "slug"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(ScopedAdmin):
    """A user is invited by e-mail and sets the password by the link; deleting keeps the history."""

    list_display = ["email", "name", "organisation", "role", "time_zone", "is_superuser", "last_login", "deleted_at"]
    list_filter = ["role", ("organisation", ScopedFilter), ("deleted_at", admin.EmptyFieldListFilter)]
    search_fields = ["email", "name"]
    _fields = ["organisation", "email", "name", "role", "time_zone", "date_format", "is_superuser", "last_login"]
    readonly_fields = ["last_login"]
    inlines = [ChannelInline]
    actions = ["invite", "delete_users"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        hidden = self.get_exclude(request, obj)
        return [field for field in self._fields if field not in hidden]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        operates = isinstance(request.user, User) and request.user.is_superuser
        return ["last_login"] if operates else ["last_login", "is_superuser"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)
        if not change:
            invitation_send(user=obj, by=staff_of(request), at=timezone.now())
            self.message_user(request, f"An invitation was sent to {obj.email}.")

    @admin.action(description="Send the invitation again", permissions=["change"])
    def invite(self, request: HttpRequest, users: QuerySet[User]) -> None:
        waiting = [user for user in users if user.is_active and not user.has_usable_password()]
        for user in waiting:
            invitation_send(user=user, by=staff_of(request), at=timezone.now())
        self.message_user(request, f"{len(waiting)} sent. Users who have set a password need none.")

    @admin.action(description="Delete the chosen users (their history stays)", permissions=["change"])
    def delete_users(self, request: HttpRequest, users: QuerySet[User]) -> None:
        for user in users:
            if user.pk == request.user.pk:
                self.message_user(request, "You cannot delete yourself.", level=messages.ERROR)
            else:
                user_delete(user=user, at=timezone.now())
                self.message_user(request, f"{user.email} is deleted. What was queued for them will be cancelled.")


@admin.register(Channel)
class ChannelAdmin(ScopedAdmin):
    organisation_path = "user__organisation"
    list_display = ["name", "user", "kind", "address", "verified_at", "disabled_at", "disabled_reason"]
    list_filter = ["kind", ("disabled_at", admin.EmptyFieldListFilter), ("verified_at", admin.EmptyFieldListFilter)]
    search_fields = ["address", "name", "user__email"]
    readonly_fields = ["verified_at", "disabled_at", "disabled_reason"]
    actions = ["enable"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Enable again", permissions=["change"])
    def enable(self, request: HttpRequest, channels: QuerySet[Channel]) -> None:
        count = channels.update(disabled_at=None, disabled_reason="")
        self.message_user(request, f"{count} enabled.")
