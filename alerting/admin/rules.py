"""Rules and subscriptions in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin_scope import ReadOnlyInline, ScopedAdmin, ScopedFilter, staff_of
from alerting.models import AlertRule, AlertRuleVersion, ShipType, Subscription, SubscriptionChannel
from alerting.rules.actions import rule_archive, rule_changed, rule_check
from vessels.models import EventKind, VesselClass


class AlertRuleForm(forms.ModelForm):
    """The lists as check boxes, and every fault beside its field."""

    kinds = forms.MultipleChoiceField(label="When", choices=EventKind.choices, widget=CheckboxSelectMultiple)
    ship_types = forms.MultipleChoiceField(choices=ShipType.choices, widget=CheckboxSelectMultiple, required=False)
    classes = forms.MultipleChoiceField(
        choices=[choice for choice in VesselClass.choices if choice[0]], widget=CheckboxSelectMultiple, required=False
    )

    class Meta:
        model = AlertRule
        fields = [
            "organisation", "name", "kinds", "areas", "missing_for", "include_stopped", "accept_noise",
            "watchlist", "flags", "ship_types", "classes", "min_length_m", "max_length_m",
            "severity", "active", "template",
        ]  # fmt: skip

    def clean_flags(self) -> list[str]:
        return sorted({flag.strip().upper() for flag in self.cleaned_data["flags"] if flag.strip()})

    def _post_clean(self) -> None:
        """Django's place for checks of the whole row: here the instance has the form's values."""
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            rule_check(self.instance)
        except ValidationError as fault:
            self.add_error(None, fault)


class AlertRuleVersionInline(ReadOnlyInline):
    model = AlertRuleVersion
    fields = ["number", "created_at", "created_by", "content"]


@admin.register(AlertRule)
class AlertRuleAdmin(ScopedAdmin):
    form = AlertRuleForm
    list_display = ["name", "organisation", "when", "severity", "active", "version", "archived_at"]
    list_filter = ["active", "severity", ("organisation", ScopedFilter), ("archived_at", admin.EmptyFieldListFilter)]
    search_fields = ["name"]
    filter_horizontal = ["areas"]
    inlines = [AlertRuleVersionInline]
    actions = ["archive"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        first = ["name", "severity", "active"]
        if "organisation" not in self.get_exclude(request, obj):
            first.insert(0, "organisation")
        vessels = ["watchlist", "flags", "ship_types", "classes", "min_length_m", "max_length_m"]
        return [
            (None, {"fields": first}),
            ("When", {"fields": ["kinds", "missing_for", "include_stopped", "accept_noise"]}),
            ("Where", {"fields": ["areas"]}),
            ("Vessels (nothing chosen: all)", {"fields": vessels}),
            ("Message", {"fields": ["template"]}),
        ]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @transaction.atomic
    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        # only now the areas are stored too
        rule_changed(rule=form.instance, at=timezone.now(), by=staff_of(request))

    @admin.display(description="when")
    def when(self, rule: AlertRule) -> str:
        return ", ".join(EventKind(kind).label for kind in rule.kinds)

    @admin.action(description="Archive (notifications stay)", permissions=["change"])
    def archive(self, request: HttpRequest, rules: QuerySet[AlertRule]) -> None:
        present = list(rules.present())  # type: ignore[attr-defined]
        for rule in present:
            rule_archive(rule=rule, at=timezone.now(), by=staff_of(request))
        self.message_user(request, f"{len(present)} archived.")


class SubscriptionChannelInline(admin.TabularInline):
    model = SubscriptionChannel
    extra = 0
    min_num = 1

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        rows = db_field.remote_field.model.objects.select_related("user")
        user = staff_of(request)
        if not user.is_superuser:
            rows = rows.filter(user__organisation=user.organisation)
        return super().formfield_for_foreignkey(db_field, request, queryset=rows, **kwargs)


class SubscriptionForm(forms.ModelForm):
    class Meta:
        model = Subscription
        fields = ["user", "rule", "cadence", "at", "weekday", "active"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        user, rule = cleaned.get("user"), cleaned.get("rule")
        if user is not None and rule is not None:
            if user.organisation_id != rule.organisation_id:
                self.add_error("rule", "The rule belongs to another organisation than the user.")
            self.instance.organisation_id = rule.organisation_id
        return cleaned


@admin.register(Subscription)
class SubscriptionAdmin(ScopedAdmin):
    form = SubscriptionForm
    list_display = ["user", "rule", "cadence", "at", "weekday", "active", "deleted_at"]
    list_filter = ["cadence", "active", ("organisation", ScopedFilter), ("deleted_at", admin.EmptyFieldListFilter)]
    search_fields = ["user__email", "user__name", "rule__name"]
    list_select_related = ["user", "rule"]
    inlines = [SubscriptionChannelInline]
    actions = ["end"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def adopt(self, request: HttpRequest, obj: Any) -> None:
        """The form took the organisation from the rule."""

    @admin.action(description="End (their history stays)", permissions=["change"])
    def end(self, request: HttpRequest, subscriptions: QuerySet[Subscription]) -> None:
        count = subscriptions.filter(deleted_at__isnull=True).update(deleted_at=timezone.now(), active=False)
        self.message_user(request, f"{count} ended.")
