"""Home: the live map, who is inside now, and the last events."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from accounts.pages.member import SignedInRequest, signed_in


@signed_in
def page(request: SignedInRequest) -> HttpResponse:
    """The map of the user's organisation; an operator without one is told where to go."""
    return render(request, "accounts/operator.html")
