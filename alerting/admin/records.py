"""What the cycles did, in the admin: read only."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin_scope import ReadOnlyAdmin, ScopedFilter
from alerting.models import WORDS, Digest, MatchFailure, OperatorAction, SendCycleRun


@admin.register(SendCycleRun)
class SendCycleRunAdmin(ReadOnlyAdmin):
    organisation_path = None
    list_display = [
        "started_at", "cadence", "ended_at", "claimed", "sent", "retried", "failed", "cancelled", "stale", "released",
    ]  # fmt: skip
    list_filter = ["cadence"]
    date_hierarchy = "started_at"


@admin.register(MatchFailure)
class MatchFailureAdmin(ReadOnlyAdmin):
    organisation_path = "rule__organisation"
    list_display = ["first_at", "rule", "event", "error", "tries", "retry_at", "resolved_at"]
    heavy = ("event__area__geometry",)
    list_filter = [("resolved_at", admin.EmptyFieldListFilter), ("rule", ScopedFilter)]
    list_select_related = ["rule", "event__area"]


@admin.register(Digest)
class DigestAdmin(ReadOnlyAdmin):
    organisation_path = "message__organisation"
    list_display = ["due_at", "cadence", "user", "channel", "message"]
    heavy = tuple(f"message__{words}" for words in WORDS)
    list_filter = ["cadence"]
    list_select_related = ["user", "channel__user", "message__channel"]


@admin.register(OperatorAction)
class OperatorActionAdmin(ReadOnlyAdmin):
    organisation_path = "notification__organisation"
    heavy = ("notification__event__area__geometry",)
    list_display = ["at", "action", "by", "notification", "from_state", "to_state"]
    list_filter = ["action"]
    list_select_related = ["by", "notification__event__area", "notification__subscription__user"]
