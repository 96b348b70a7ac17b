"""Notifications and messages for people who operate them: what failed, why, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.admin_scope import ReadOnlyAdmin, ReadOnlyInline, ScopedFilter
from alerting.admin.history import attempts_table, bounces_table, deaths_table, folded, shown_time
from alerting.models import WORDS, Attempt, BounceReport, Death, Message, Notification, OperatorAction, State
from alerting.operations import OperationRefused, notification_cancel, notification_mark_handled, notification_retry
from alerting.rendering.plain import vessel_name

STATES_SHOWN = [State.FAILED, State.STALE, State.QUARANTINED, State.PENDING, State.SENT, State.CANCELLED]


class StateFilter(admin.SimpleListFilter):
    """What needs somebody, first."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("unhandled", "needs somebody"), *[(state.value, state.label) for state in STATES_SHOWN]]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "unhandled":
            return rows.filter(state__in=[State.FAILED, State.STALE, State.QUARANTINED], handled_at__isnull=True)
        return rows.filter(state=self.value()) if self.value() else rows


class OperatorActionInline(ReadOnlyInline):
    model = OperatorAction
    fk_name = "notification"
    fields = ["at", "action", "by", "from_state", "to_state"]
    verbose_name_plural = "done by hand"


class DeathInline(ReadOnlyInline):
    model = Death
    fields = ["noticed_at", "worker", "cause", "alone"]
    verbose_name_plural = "deaths of workers that had it in hand"


class BounceReportInline(ReadOnlyInline):
    model = BounceReport
    fields = ["received_at", "source", "action", "status", "said", "recipient", "by"]
    verbose_name_plural = "reports that it came back, or is put off"


class AttemptInline(ReadOnlyInline):
    model = Attempt
    fields = ["started_at", "took", "outcome", "error_kind", "error", "answer", "traceback_text", "worker"]
    readonly_fields = ["took", "traceback_text"]

    @admin.display(description="took")
    def took(self, attempt: Attempt) -> str:
        return f"{(attempt.ended_at - attempt.started_at).total_seconds():.2f} s"

    @admin.display(description="traceback")
    def traceback_text(self, attempt: Attempt) -> str:
        return folded("traceback", attempt.traceback)


def shortened(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:159]}…"


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """Counts by state on top; the reason and the server's answer on each row; three actions, each confirmed."""

    list_display = [
        "id", "state_shown", "reason_short", "who", "what", "due_at", "attempts",
    ]  # fmt: skip
    list_filter = [
        StateFilter, "message__error_kind", ("subscription__rule", ScopedFilter), ("organisation", ScopedFilter),
        "cadence",
        ("handled_at", admin.EmptyFieldListFilter),
    ]  # fmt: skip
    search_fields = ["subscription__user__email", "event__mmsi", "event__vessel__name", "subscription__rule__name"]
    date_hierarchy = "created_at"
    inlines = [OperatorActionInline]
    actions = ["retry", "cancel", "mark_handled"]
    change_list_template = "admin/alerting/notification/change_list.html"
    change_form_template = "admin/alerting/notification/change_form.html"
    fieldsets = [
        (None, {"fields": ["state", "reason", "error", "handled_by", "handled_at"]}),
        ("Duty", {"fields": ["subscription", "channel", "event", "rule_version", "cadence"]}),
        ("Times", {"fields": ["occurred", "detected", "created_at", "due_at", "next_attempt", "sent_at"]}),
        ("Message", {"fields": ["subject", "text"]}),
        ("Attempts", {"fields": ["attempt_history", "bounce_history", "death_history"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        last = Attempt.objects.filter(message=OuterRef("message")).order_by("-started_at")
        rows = (
            super()
            .get_queryset(request)
            .select_related(
                "subscription__user", "subscription__rule", "event__area", "event__vessel", "channel", "message"
            )
            .defer("event__area__geometry", *(f"message__{words}" for words in WORDS))
        )
        annotated: QuerySet[Any] = rows.annotate(last_answer=Subquery(last.values("answer")[:1]))
        return annotated

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # nobody edits a notification; the permission is what the three actions ask for
        return obj is None and request.user.has_perm("alerting.change_notification")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [str(field) for _, options in self.fieldsets for field in options["fields"]]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        counts = dict(super().get_queryset(request).order_by().values_list("state").annotate(number=Count("pk")))
        by_state = [(state, counts.get(state.value, 0)) for state in STATES_SHOWN]
        return super().changelist_view(request, {"by_state": by_state, **(extra_context or {})})

    @admin.display(description="state", ordering="state")
    def state_shown(self, row: Notification) -> SafeString:
        handled = "" if row.handled_at is None else format_html('<br><span class="quiet">handled</span>')
        return format_html('<span class="state state-{}">{}</span>{}', row.state, row.get_state_display(), handled)

    @admin.display(description="reason and server's answer")
    def reason_short(self, row: Any) -> str:
        """The answer follows on a line of its own, unless the reason quotes it already."""
        reason = row.reason or (row.message.reason if row.message else "")
        answer = row.last_answer or ""
        if not answer or answer in reason:
            return shortened(reason) or "–"
        if not reason:
            return format_html('<span class="quiet">{}</span>', shortened(answer))
        return format_html('{}<br><span class="quiet">{}</span>', shortened(reason), shortened(answer))

    @admin.display(description="to", ordering="subscription__user__email")
    def who(self, row: Notification) -> str:
        return format_html(
            '{}<br><span class="quiet">{}, {}</span>',
            row.subscription.user.email, row.channel.get_kind_display(), row.get_cadence_display(),
        )  # fmt: skip

    @admin.display(description="what, by which rule")
    def what(self, row: Notification) -> str:
        name = row.event.vessel.name if row.event.vessel else None
        vessel = vessel_name(name) or f"MMSI {row.event.mmsi:09d}"
        return format_html(
            '{} {} {}<br><span class="quiet">{}</span>',
            vessel, row.event.get_kind_display(), row.event.area, row.subscription.rule,
        )  # fmt: skip

    @admin.display(description="attempts")
    def attempts(self, row: Notification) -> int:
        return row.message.attempts_made if row.message else 0

    @admin.display(description="kind of error")
    def error(self, row: Notification) -> str:
        return row.message.get_error_kind_display() if row.message and row.message.error_kind else "–"

    @admin.display(description="happened")
    def occurred(self, row: Notification) -> str:
        return shown_time(row.event.occurred_at)

    @admin.display(description="noticed")
    def detected(self, row: Notification) -> str:
        return shown_time(row.event.detected_at)

    @admin.display(description="next attempt")
    def next_attempt(self, row: Notification) -> str:
        waiting = row.message is not None and row.message.state == State.PENDING
        return shown_time(row.message.next_attempt_at) if waiting and row.message else "–"

    @admin.display(description="subject")
    def subject(self, row: Notification) -> str:
        return row.message.subject if row.message and row.message.subject else "not rendered yet"

    @admin.display(description="text")
    def text(self, row: Notification) -> str:
        return format_html("<pre>{}</pre>", row.message.text) if row.message and row.message.text else "–"

    @admin.display(description="history")
    def attempt_history(self, row: Notification) -> str:
        return attempts_table(row.message)

    @admin.display(description="came back later")
    def bounce_history(self, row: Notification) -> str:
        return bounces_table(row.message)

    @admin.display(description="deaths of workers")
    def death_history(self, row: Notification) -> str:
        return deaths_table(row.message)

    @admin.action(description="Retry…", permissions=["change"])
    def retry(self, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        return self._confirmed(request, rows, notification_retry, "retry", "Retry")

    @admin.action(description="Cancel…", permissions=["change"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        return self._confirmed(request, rows, notification_cancel, "cancel", "Cancel")

    @admin.action(description="Mark handled…", permissions=["change"])
    def mark_handled(self, request: HttpRequest, rows: QuerySet[Notification]) -> HttpResponse | None:
        return self._confirmed(request, rows, notification_mark_handled, "mark_handled", "Mark handled")

    def _confirmed(
        self, request: HttpRequest, rows: QuerySet[Notification], act: Callable[..., Any], action: str, title: str
    ) -> HttpResponse | None:
        """Ask first; on the second POST do it to each row by itself, and say what was refused and why."""
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": f"{title}: are you sure?",
                "rows": rows[:200],
                "count": rows.count(),
                "action": action,
                "verb": title,
                "opts": self.model._meta,
                "checkbox": ACTION_CHECKBOX_NAME,
                "keys": request.POST.getlist(ACTION_CHECKBOX_NAME),
                "select_across": request.POST.get("select_across", "0"),
            }
            return TemplateResponse(request, "admin/alerting/notification/confirm.html", context)
        done = 0
        for row in rows.order_by("pk"):
            try:
                act(notification=row, by=request.user, at=timezone.now())
                done += 1
            except OperationRefused as refusal:
                self.message_user(request, f"Notification {row.pk}: {refusal}", level=messages.WARNING)
        self.message_user(request, f"{title}: {done} done.")
        return None


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    heavy = WORDS
    list_display = ["id", "kind", "state", "reason", "user", "channel", "due_at", "next_attempt_at", "attempts_made"]
    list_filter = ["state", "kind", "error_kind", ("organisation", ScopedFilter)]
    search_fields = ["user__email", "subject", "message_id"]
    list_select_related = ["user", "channel__user"]
    inlines = [AttemptInline, BounceReportInline, DeathInline]
    exclude = ["html"]
    readonly_fields = ["notifications"]

    @admin.display(description="notifications")
    def notifications(self, message: Message) -> str:
        """Where the message can be retried, cancelled or marked as handled: it is acted on by its notifications."""
        number = message.notifications.count()
        if not number:
            return "none"
        address = reverse("admin:alerting_notification_changelist")
        words = "retry, cancel or mark it" if number == 1 else f"all {number}: retry, cancel or mark them"
        return format_html('<a href="{}?message__id__exact={}">{}</a>', address, message.pk, words)
