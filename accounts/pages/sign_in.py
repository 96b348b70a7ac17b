"""Signing in by e-mail, and a forgotten password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm, PasswordResetForm
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse, reverse_lazy

from accounts.models import User


class SignInForm(AuthenticationForm):
    """E-mail and password. Deleted users are told the same as unknown ones."""

    username = forms.EmailField(
        label="E-mail",
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    error_messages = {
        "invalid_login": "E-mail and password do not match an account. Mind capital letters in the password.",
        "inactive": "E-mail and password do not match an account. Mind capital letters in the password.",
    }

    def clean_username(self) -> str:
        """One spelling, so that failed tries are counted together."""
        return str(self.cleaned_data["username"]).strip().lower()


class SignIn(views.LoginView):
    """`/sign-in`, in front of the pages and the admin alike."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # the admin sends everybody without access here: without this a viewer would be sent back and forth
        wants_admin = self.get_redirect_url().startswith(reverse("admin:index"))
        if request.user.is_authenticated and wants_admin and not request.user.is_staff:
            raise PermissionDenied("The admin is for managers and administrators.")
        return super().dispatch(request, *args, **kwargs)


class ForgottenPasswordForm(PasswordResetForm):
    """Mails a link to a user who is not deleted and has a password."""

    email = forms.EmailField(
        label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True})
    )

    def get_users(self, email: str) -> list[User]:
        users = User.objects.present().filter(email=email.strip().lower())
        return [user for user in users if user.has_usable_password()]


class ForgottenPassword(views.PasswordResetView):
    """Says the same whether the address has an account or not."""

    template_name = "accounts/forgotten_password.html"
    form_class = ForgottenPasswordForm
    email_template_name = "accounts/mails/password_reset.txt"
    subject_template_name = "accounts/mails/password_reset_subject.txt"
    extra_email_context = {"public_url": settings.PUBLIC_URL}  # never the Host header of whoever asks
    success_url = reverse_lazy("forgotten-password-sent")


class ForgottenPasswordSent(views.PasswordResetDoneView):
    """After asking for the mail."""

    template_name = "accounts/forgotten_password_sent.html"


class NewPassword(views.PasswordResetConfirmView):
    """Behind the mailed link."""

    template_name = "accounts/new_password.html"
    success_url = reverse_lazy("home")
    post_reset_login = True
    post_reset_login_backend = "django.contrib.auth.backends.ModelBackend"


class ChangePassword(views.PasswordChangeView):
    """From the profile."""

    template_name = "accounts/change_password.html"
    success_url = reverse_lazy("profile")
