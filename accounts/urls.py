"""Addresses of the pages about a person."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from accounts.pages import invitation, profile, sign_in

urlpatterns = [
    path("sign-in", sign_in.SignIn.as_view(), name="sign-in"),
    path("sign-out", LogoutView.as_view(), name="sign-out"),
    path("password/forgotten", sign_in.ForgottenPassword.as_view(), name="forgotten-password"),
    path("password/sent", sign_in.ForgottenPasswordSent.as_view(), name="forgotten-password-sent"),
    path("password/new/<uidb64>/<token>", sign_in.NewPassword.as_view(), name="new-password"),
    path("password/change", sign_in.ChangePassword.as_view(), name="change-password"),
    path("invitation/<str:token>", invitation.accept, name="invitation"),
    path("profile", profile.edit, name="profile"),
    path("profile/date-example", profile.date_example, name="date-example"),
]
