"""Shows times in the signed-in user's zone."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.local_time import SpokenZone


class LocalTimeMiddleware:
    """Activates the user's time zone for the time of the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return self._get_response(request)
        with timezone.override(SpokenZone(request.user.time_zone)):
            return self._get_response(request)
