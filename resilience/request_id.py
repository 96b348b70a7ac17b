"""A name for each request, on all its log lines and in its answer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bound_contextvars

HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9_.\-]{8,64}")


class RequestIdMiddleware:
    """Takes the proxy's request id where it is sane, else makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        name = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        with bound_contextvars(request_id=name):
            response = self._get_response(request)
        response[HEADER] = name
        return response
