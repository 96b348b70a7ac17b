"""Home: the live map, who is inside now, and the last events."""

from __future__ import annotations

import hashlib

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseNotModified, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from accounts.pages.member import MemberRequest, SignedInRequest, member, signed_in
from alerting.pages.map_shapes import drawn_areas
from alerting.pages.notifications import BANNER_DAYS, lately_not_sent, sees_all
from alerting.pages.picture import Box, areas_of, inside_now, last_events, vessels_on_map
from vessels.models import Area


@signed_in
@require_safe
def page(request: SignedInRequest) -> HttpResponse:
    """The map of the user's organisation; an operator without one is told where to go."""
    organisation = request.user.organisation
    if organisation is None:
        return render(request, "accounts/operator.html")
    areas = areas_of(organisation)
    context = {
        "has_areas": bool(areas),
        "not_sent": lately_not_sent(request.user, organisation, timezone.now()),
        "banner_days": BANNER_DAYS,
        "sees_all": sees_all(request.user),
        "live": _live(request, areas),
    }
    return render(request, "alerting/home.html", context)


@member
@require_safe
def live(request: MemberRequest) -> HttpResponse:
    """The lists beside the map; nothing (204) where the page shows them already."""
    said = _live(request, areas_of(request.organisation))
    if f'data-digest="{request.GET.get("digest", "")}"' in said:
        return HttpResponse(status=204)
    return HttpResponse(said)


@member
@require_safe
def areas(request: MemberRequest) -> HttpResponse:
    """The areas as GeoJSON; asked again, only what changed is sent."""
    found = areas_of(request.organisation)
    etag = _etag(found)
    response: HttpResponse
    if request.headers.get("If-None-Match") == etag:
        response = HttpResponseNotModified()
    else:
        response = JsonResponse(drawn_areas(found), content_type="application/geo+json")
    response["ETag"] = etag
    patch_cache_control(response, private=True, no_cache=True)
    return response


@member
@require_safe
def vessels(request: MemberRequest) -> HttpResponse:
    """The vessels in `?box=west,south,east,north`, or all, and always those inside an area."""
    try:
        box = _box(request)
    except ValueError:
        return HttpResponseBadRequest("box is west,south,east,north in degrees")
    response = JsonResponse(vessels_on_map(areas_of(request.organisation), box))
    patch_cache_control(response, private=True, no_store=True)
    return response


def _live(request: HttpRequest, areas: list[Area]) -> str:
    assert request.user.is_authenticated
    events = last_events(areas, request.user)
    context = {"places": inside_now(areas), "events": events, "user": request.user}
    said = render_to_string("alerting/live_lists.html", context)
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return render_to_string("alerting/live.html", {"lists": said, "digest": digest, "newest": events[:1]})


def _etag(areas: list[Area]) -> str:
    told = ";".join(f"{area.pk}:{area.version}:{area.name}" for area in areas)
    return f'W/"{hashlib.sha256(told.encode()).hexdigest()[:20]}"'


def _box(request: HttpRequest) -> Box | None:
    """Raises `ValueError`. A box of 360° or more is the whole world."""
    said = request.GET.get("box")
    if not said:
        return None
    west, south, east, north = (float(part) for part in said.split(","))
    if not (-1e6 < west < 1e6 and -1e6 < east < 1e6):  # also refuses NaN
        raise ValueError("out of range")
    if east - west >= 360:
        return -180.0, south, 180.0, north
    return (west + 180) % 360 - 180, south, (east + 180) % 360 - 180, north
