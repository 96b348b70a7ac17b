"""Accepting an invitation by its link."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.forms import SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts.invitations import InvitationFault, invitation_accept, invited_user
from accounts.local_time import validate_zone
from accounts.models import User
from accounts.pages.profile import TimeZoneInput


class InvitationForm(SetPasswordForm):  # type: ignore[type-arg]
    """Name, time zone and a password twice."""

    name = forms.CharField(label="Your name", max_length=200, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    time_zone = forms.CharField(
        label="Time zone",
        max_length=64,
        validators=[validate_zone],
        widget=TimeZoneInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Suggested by your browser where it knows. Type a city or region to find another.",
    )
    field_order = ["name", "time_zone", "new_password1", "new_password2"]

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.initial.update({"name": user.name, "time_zone": user.time_zone})
        # the script replaces the organisation's zone by the browser's, never one that was typed
        self.fields["time_zone"].widget.attrs["data-suggest-zone"] = user.time_zone


@never_cache
@sensitive_post_parameters()
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows the form, so that a mail scanner accepts nothing; POST accepts and signs in."""
    try:
        user = invited_user(token)
        form = InvitationForm(user, request.POST or None)
        if request.method != "POST" or not form.is_valid():
            return render(request, "accounts/invitation.html", {"form": form, "invited": user})
        said = form.cleaned_data
        user = invitation_accept(
            token=token, name=said["name"], time_zone=said["time_zone"], password=said["new_password1"]
        )
    except InvitationFault as fault:
        return render(request, "accounts/invitation_over.html", {"fault": fault}, status=410)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    messages.success(request, f"Welcome, {user}. Choose here what you want to hear of.")
    return redirect("subscriptions" if user.organisation_id else "home")
