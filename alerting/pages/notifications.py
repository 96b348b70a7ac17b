"""The history of notifications: the list with its filters, and one with its message, times and attempts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from accounts.models import Organisation, User
from accounts.pages.member import MemberRequest, member
from accounts.roles import Role
from alerting.models import AlertRule, Notification, State
from alerting.pages.map_shapes import drawn_area
from alerting.pages.telling import NOT_SENT, STATE_WORDS, event_told, notification_sections
from vessels.models import EventKind

PAGE_LENGTH = 25
BANNER_DAYS = 7
ALL_NOT_SENT = "not_sent"

# The message is foreign to this page: nothing runs in it, and nothing is loaded by it.
MESSAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """A notification with its sentence."""

    notification: Notification
    told: str


class FilterForm(forms.Form):
    """What to show. An unknown value shows everything."""

    state = forms.ChoiceField(required=False, label="State")
    rule = forms.ModelChoiceField(AlertRule.objects.none(), required=False, label="Rule", empty_label="All rules")
    kind = forms.ChoiceField(required=False, label="Event")

    def __init__(self, data: Any, *, organisation: Organisation) -> None:
        super().__init__(data)
        states = [(value, label.capitalize()) for value, label in State.choices]
        self._choose("state", [("", "All states"), (ALL_NOT_SENT, "All that failed to be sent"), *states])
        self._choose("kind", [("", "All events"), *((kind.value, kind.label.capitalize()) for kind in EventKind)])
        rule = self.fields["rule"]
        assert isinstance(rule, forms.ModelChoiceField)
        rule.queryset = AlertRule.objects.of(organisation)

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def apply(self, rows: QuerySet[Notification]) -> QuerySet[Notification]:
        self.is_valid()
        said = getattr(self, "cleaned_data", {})
        if state := said.get("state"):
            rows = rows.filter(state__in=NOT_SENT if state == ALL_NOT_SENT else [state])
        if rule := said.get("rule"):
            rows = rows.filter(subscription__rule=rule)
        if kind := said.get("kind"):
            rows = rows.filter(event__kind=kind)
        return rows


@member
@require_safe
def page(request: MemberRequest) -> HttpResponse:
    """The list, newest first, by keys: the hundredth page is as fast as the first."""
    form = FilterForm(request.GET, organisation=request.organisation)
    rows = form.apply(visible_to(request.user, request.organisation)).order_by("-pk")
    before = request.GET.get("before", "")
    if before.isdecimal():
        rows = rows.filter(pk__lt=int(before))
    found = list(_with_event(rows)[: PAGE_LENGTH + 1])
    shown, more = found[:PAGE_LENGTH], len(found) > PAGE_LENGTH
    query = request.GET.copy()
    query.pop("before", None)
    context = {
        "form": form,
        "rows": [NotificationRow(one, event_told(one.event, request.user)) for one in shown],
        "older": shown[-1].pk if more else None,
        "query": query.urlencode(),
        "filtered": any(query.values()),
        "paged": bool(before),
        "sees_all": sees_all(request.user),
    }
    return render(request, "alerting/notifications.html", context)


@member
@require_safe
def detail(request: MemberRequest, pk: int) -> HttpResponse:
    """One notification: what happened, what was sent, what became of it."""
    notification = get_object_or_404(_with_event(visible_to(request.user, request.organisation)), pk=pk)
    sections, notes = notification_sections(notification, request.user)
    message = notification.message
    context = {
        "notification": notification,
        "told": event_told(notification.event, request.user),
        "details": {section.title.lower(): section.rows for section in sections},
        "notes": notes,
        "state_words": STATE_WORDS[notification.state],
        "message": message,
        "attempts": message.attempts.order_by("started_at") if message and sees_all(request.user) else None,
        "sees_all": sees_all(request.user),
        "map": _map(notification),
    }
    return render(request, "alerting/notification.html", context)


@member
@require_safe
@xframe_options_sameorigin
def message_html(request: MemberRequest, pk: int) -> HttpResponse:
    """The message as sent, for the frame on its page; its links open outside the frame."""
    notification = get_object_or_404(visible_to(request.user, request.organisation).select_related("message"), pk=pk)
    if notification.message is None or not notification.message.html:
        raise Http404
    html = notification.message.html.replace("<head>", '<head><base target="_blank">', 1)
    return HttpResponse(html, headers={"Content-Security-Policy": MESSAGE_POLICY})


def sees_all(user: User) -> bool:
    """Managers see what was sent to others of their organisation; viewers only their own."""
    return user.role in (Role.MANAGER, Role.ADMINISTRATOR)


def visible_to(user: User, organisation: Organisation) -> QuerySet[Notification]:
    """The notifications that the user may see."""
    rows = Notification.objects.of(organisation)
    return rows if sees_all(user) else rows.filter(subscription__user=user)


def lately_not_sent(user: User, organisation: Organisation, now: datetime) -> int:
    """How many ended unsent in the last days and were not marked as handled: the banner's number, at most 100."""
    since = now - timedelta(days=BANNER_DAYS)
    rows = visible_to(user, organisation).filter(state__in=NOT_SENT, handled_at__isnull=True, due_at__gte=since)
    return len(rows.values_list("pk")[:100])


def _with_event(rows: QuerySet[Notification]) -> QuerySet[Notification]:
    return rows.select_related(
        "event__area", "event__vessel", "event__feed", "subscription__rule", "subscription__user", "channel", "message"
    )


def _map(notification: Notification) -> dict[str, Any]:
    """What the small map draws: the area, and the positions that prove the event."""
    event = notification.event
    evidence = event.evidence or {}
    before, after = evidence.get("before") or {}, evidence.get("after") or evidence.get("last") or {}
    return {
        "areas": [drawn_area(event.area)],
        "place": {"lon": event.lon, "lat": event.lat, "course": after.get("heading") or after.get("course")},
        "before": {"lon": before["lon"], "lat": before["lat"]} if before.get("lon") is not None else None,
    }
