"""Who asks: every page of an organisation starts from the signed-in user's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django_htmx.middleware import HtmxDetails

from accounts.models import Organisation, User

P = ParamSpec("P")


class SignedInRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: HtmxDetails


class MemberRequest(SignedInRequest):
    """A request of a member of an organisation. Queries start from `organisation`."""

    organisation: Organisation


SignedInView = Callable[Concatenate[SignedInRequest, P], HttpResponse]
MemberView = Callable[Concatenate[MemberRequest, P], HttpResponse]
PlainView = Callable[Concatenate[HttpRequest, P], HttpResponse]


def signed_in(view: SignedInView[P]) -> PlainView[P]:
    """Sends others to the sign-in page."""
    return cast("PlainView[P]", login_required(cast(Any, view)))


def member(view: MemberView[P]) -> PlainView[P]:
    """As `signed_in`; an operator without an organisation is sent home, which says why."""

    @wraps(view)
    def _of_organisation(request: MemberRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.user.organisation is None:
            return redirect("home")
        request.organisation = request.user.organisation
        return view(request, *args, **kwargs)

    return cast("PlainView[P]", login_required(cast(Any, _of_organisation)))
