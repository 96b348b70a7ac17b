"""Incidents, heartbeats and breakers, to read; an incident can be resolved, and says by whom and when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from resilience.incidents import incident_resolve
from resilience.models import CircuitBreaker, DeploymentRun, Heartbeat, Incident, WorkerDeath

if TYPE_CHECKING:
    IncidentBase = admin.ModelAdmin[Incident]
    HeartbeatBase = admin.ModelAdmin[Heartbeat]
    CircuitBreakerBase = admin.ModelAdmin[CircuitBreaker]
    DeploymentRunBase = admin.ModelAdmin[DeploymentRun]
    WorkerDeathBase = admin.ModelAdmin[WorkerDeath]
else:
    IncidentBase = HeartbeatBase = CircuitBreakerBase = DeploymentRunBase = WorkerDeathBase = admin.ModelAdmin


class ReadOnlyAdmin:
    """What the program wrote is not edited, added or deleted by hand."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin, IncidentBase):
    """Newest first; open ones are found by the filter on state."""

    list_display = ("kind", "severity", "short_summary", "count", "first_at", "last_at", "state", "told")
    list_filter = ("state", "severity", "kind", "last_at")
    search_fields = ("kind", "summary", "fingerprint", "traceback")
    date_hierarchy = "last_at"
    actions = ("resolve",)
    fieldsets = (
        (None, {"fields": ("kind", "severity", "summary", "count", "first_at", "last_at", "fingerprint")}),
        ("State", {"fields": ("state", "resolved_at", "resolved_by")}),
        ("First occurrence", {"fields": ("details", "shown_traceback")}),
        (
            "Slack",
            {
                "fields": (
                    "posts",
                    "posted_count",
                    "first_posted_at",
                    "last_posted_at",
                    "next_post_at",
                    "has_news",
                    "post_failures",
                    "last_post_error",
                    "slack_reference",
                )
            },
        ),
    )

    @admin.display(description="summary", ordering="summary")
    def short_summary(self, incident: Incident) -> str:
        return incident.summary if len(incident.summary) <= 120 else f"{incident.summary[:119]}…"

    @admin.display(description="Slack told", boolean=True)
    def told(self, incident: Incident) -> bool:
        return incident.posts > 0

    @admin.display(description="details")
    def details(self, incident: Incident) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(incident.sample, indent=2, ensure_ascii=False))

    @admin.display(description="traceback")
    def shown_traceback(self, incident: Incident) -> SafeString:
        return format_html("<pre>{}</pre>", incident.traceback or "none")

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("resilience.change_incident")

    @admin.action(description="Resolve the selected incidents", permissions=["resolve"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        """By POST, as all actions; who and when stay on the row and Slack is told."""
        now, by = timezone.now(), request.user.get_username()
        resolved = sum(
            incident_resolve(incident_id=number, by=by, now=now) for number in queryset.values_list("pk", flat=True)
        )
        self.message_user(request, f"Resolved: {resolved} of the selected incidents were open.")


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin, HeartbeatBase):
    """When each part was last heard."""

    list_display = ("name", "at", "seconds_ago", "host", "pid")
    search_fields = ("name", "host")

    @admin.display(description="seconds ago")
    def seconds_ago(self, heartbeat: Heartbeat) -> int:
        return int((timezone.now() - heartbeat.at).total_seconds())


@admin.register(CircuitBreaker)
class CircuitBreakerAdmin(ReadOnlyAdmin, CircuitBreakerBase):
    """What waits because its other side does not answer."""

    list_display = ("name", "state", "reason", "opened_at", "probe_at", "lease_until", "closed_at")
    list_filter = ("state",)
    search_fields = ("name", "reason")


@admin.register(DeploymentRun)
class DeploymentRunAdmin(ReadOnlyAdmin, DeploymentRunBase):
    """Which deployments run, and where."""

    list_display = ("part", "instance", "host", "pid", "began_at", "seen_at")
    list_filter = ("part",)


@admin.register(WorkerDeath)
class WorkerDeathAdmin(ReadOnlyAdmin, WorkerDeathBase):
    """Who died of what, and in the middle of what."""

    list_display = ("at", "part", "instance", "role", "cause", "exit_code", "doing")
    list_filter = ("cause", "part", "role", "at")
    search_fields = ("instance", "host", "doing")
    date_hierarchy = "at"
