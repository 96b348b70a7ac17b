"""The profile: name, time zone, how dates are written."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.local_time import DateFormat, UnknownZone, format_time, zone, zone_names
from accounts.models import User
from accounts.pages.member import SignedInRequest, signed_in


class TimeZoneInput(forms.TextInput):
    """A text field; `site/field.html` adds the names of all zones, suggested as one types."""

    zones = staticmethod(zone_names)

    def get_context(self, name: str, value: object, attrs: dict[str, object] | None) -> dict[str, object]:
        return dict(super().get_context(name, value, (attrs or {}) | {"list": f"{name}_choices"}))


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """What users may change of themselves."""

    class Meta:
        model = User
        fields = ["name", "time_zone", "date_format"]
        labels = {"name": "Your name", "time_zone": "Time zone", "date_format": "How dates are written"}
        help_texts = {"time_zone": "Type a city or region, such as Auckland. Messages and digests keep to this clock."}
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
            "time_zone": TimeZoneInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        }


@signed_in
def edit(request: SignedInRequest) -> HttpResponse:
    """Shows and saves the profile."""
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your profile is saved.")
        return redirect("profile")
    shown = {"form": form, "example": _example(form["time_zone"].value(), form["date_format"].value())}
    return render(request, "accounts/profile.html", shown)


@signed_in
@require_safe
def date_example(request: SignedInRequest) -> HttpResponse:
    """The present time as the chosen zone and format write it, while choosing."""
    example = _example(request.GET.get("time_zone", ""), request.GET.get("date_format", ""))
    return render(request, "accounts/date_example.html", {"example": example})


def _example(zone_name: str | None, date_format: str | None) -> str:
    """Empty where either is not known."""
    try:
        return format_time(timezone.now(), zone(zone_name or "").key, DateFormat(date_format or "").value)
    except (UnknownZone, ValueError):
        return ""
