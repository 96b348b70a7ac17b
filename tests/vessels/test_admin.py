"""Areas in the admin: faults with their place, large geometries, tenants apart."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from django.test import Client

from tests.alerting.world import NOW, World
from vessels.areas import AreaContent, area_save, stored_geometry
from vessels.models import Area

pytestmark = pytest.mark.django_db
AREAS = "/admin/vessels/area/"
BOW_TIE = {"type": "Polygon", "coordinates": [[[10, 10], [12, 12], [12, 10], [10, 12], [10, 10]]]}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def staff(client: Client, world: World) -> Client:
    manager = world.make_user(role="manager")
    client.force_login(manager, backend="django.contrib.auth.backends.ModelBackend")
    return client


def filled(geometry: str, **fields: Any) -> dict[str, Any]:
    rest = {"versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}
    return {"name": "New", "geometry": geometry} | rest | fields


def large_area(world: World, points: int = 20_000) -> Area:
    turns = [2 * math.pi * number / points for number in range(points)]
    ring = [[170 + 5 * math.cos(turn), -35 + 5 * math.sin(turn)] for turn in turns]
    geometry = stored_geometry({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
    return area_save(organisation=world.organisation, content=AreaContent("Coast", geometry), at=NOW)[0]


def test_a_bow_tie_is_refused_with_the_place_of_the_fault(staff: Client) -> None:
    page = staff.post(f"{AREAS}add/", filled(json.dumps(BOW_TIE)))

    (said,) = page.context["adminform"].form.errors["geometry"]
    assert "11" in said
    assert not Area.objects.filter(name="New").exists()


def test_a_saved_area_belongs_to_the_organisation_and_has_a_version(staff: Client, world: World) -> None:
    square = {"type": "Polygon", "coordinates": [[[10, 10], [12, 10], [12, 12], [10, 12], [10, 10]]]}

    staff.post(f"{AREAS}add/", filled(json.dumps(square)))

    area = Area.objects.get(name="New")
    assert area.organisation == world.organisation
    assert area.version == 1


def test_a_large_geometry_is_described_instead_of_shown_and_stays_when_its_field_is_empty(
    staff: Client, world: World
) -> None:
    area = large_area(world)
    before = area.geometry

    shown = staff.get(f"{AREAS}{area.pk}/change/").content
    saved = staff.post(f"{AREAS}{area.pk}/change/", filled("", name="Coast line"))

    assert len(shown) < 60_000
    assert b"20,001 points" in shown
    assert b"null" not in shown
    assert saved.status_code == 302
    area.refresh_from_db()
    assert area.name == "Coast line"
    assert area.geometry == before


def test_another_organisation_s_areas_are_neither_listed_nor_opened(staff: Client) -> None:
    theirs = World("other").make_area("Their bay")

    assert "Their bay" not in staff.get(AREAS).content.decode()
    assert staff.get(f"{AREAS}{theirs.pk}/change/").status_code == 302


def test_a_shared_area_is_seen_but_neither_changed_nor_archived_by_an_organisation(staff: Client) -> None:
    content = AreaContent("High seas", stored_geometry(World("third").area.geometry))
    shared = area_save(organisation=None, content=content, at=NOW)[0]

    page = staff.get(f"{AREAS}{shared.pk}/change/")
    staff.post(f"{AREAS}{shared.pk}/change/", filled("{}", name="Mine now"))
    staff.post(AREAS, {"action": "archive", "index": "0", "_selected_action": [shared.pk]})

    assert page.status_code == 200
    assert b"_save" not in page.content
    shared.refresh_from_db()
    assert shared.name == "High seas"
    assert shared.archived_at is None


def test_the_filter_of_events_names_no_foreign_area(staff: Client, world: World) -> None:
    other = World("other")
    other.make_area("Their bay")
    world.make_event()
    other.make_event(mmsi=512000009)

    page = staff.get("/admin/vessels/event/").content.decode()

    assert "Their bay" not in page
    assert "512000009" not in page
