"""Addresses of the pages about alerting. `alerting.links.PATHS` names those that messages link to."""

from __future__ import annotations

from django.urls import path

from alerting.pages import channels, home, notifications, subscriptions, unsubscribe

urlpatterns = [
    path("", home.page, name="home"),
    path("live", home.live, name="live"),
    path("map/areas.json", home.areas, name="map-areas"),
    path("map/vessels.json", home.vessels, name="map-vessels"),
    path("subscriptions/", subscriptions.page, name="subscriptions"),
    path("subscriptions/<int:rule>/", subscriptions.save, name="subscription-save"),
    path("channels/", channels.page, name="channels"),
    path("channels/<int:channel>/link", channels.send_link, name="channel-send-link"),
    path("channels/<int:channel>/secret", channels.new_secret, name="channel-secret"),
    path("channels/<int:channel>/test", channels.send_test, name="channel-test"),
    path("channels/verify/<str:token>/", channels.verify, name="channel-verify"),
    path("notifications/", notifications.page, name="notifications"),
    path("notifications/<int:pk>/", notifications.detail, name="notification"),
    path("notifications/<int:pk>/message", notifications.message_html, name="notification-message"),
    path("unsubscribe/<str:token>/", unsubscribe.page, name="unsubscribe"),
]
