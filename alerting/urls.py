"""Addresses of the pages about alerting. `alerting.links.PATHS` names those that messages link to."""

from __future__ import annotations

from django.urls import path

from alerting.pages import home

urlpatterns = [
    path("", home.page, name="home"),
    path("subscriptions/", home.page, name="subscriptions"),
    path("channels/", home.page, name="channels"),
    path("notifications/", home.page, name="notifications"),
]
