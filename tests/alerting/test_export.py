"""Export: one row a line, the same content in both forms."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from alerting.matching import matching_step
from tests.alerting.world import NOW, World

pytestmark = pytest.mark.django_db


def export(*arguments: str) -> str:
    out = io.StringIO()
    call_command("export", *arguments, stdout=out)
    return out.getvalue()


def test_events_carry_what_the_contract_says() -> None:
    world = World()
    world.make_event()

    row = json.loads(export("events"))

    assert row == {
        "kind": "entered", "mmsi": 512000001, "area": "Gulf", "occurred_at": "2026-03-01T12:00:00Z",
        "lon": 174.5, "lat": -36.5, "duration_seconds": None, "not_before": "2026-03-01T11:59:00Z",
        "not_after": "2026-03-01T12:00:00Z", "detected_at": "2026-03-01T12:00:00Z", "area_version": 1,
    }  # fmt: skip


def test_events_come_in_order_of_time_within_the_bounds() -> None:
    world = World()
    for hours in (3, 1, 2):
        world.make_event(occurred_at=NOW + timedelta(hours=hours))

    rows = [json.loads(line) for line in export("events", "--since", "2026-03-01T14:00:00Z").splitlines()]

    assert [row["occurred_at"] for row in rows] == ["2026-03-01T14:00:00Z", "2026-03-01T15:00:00Z"]
    assert len(export("events", "--until", "2026-03-01T14:00:00Z").splitlines()) == 1


def test_an_organisation_exports_its_own_only() -> None:
    World().make_event()
    World(slug="other").make_event(mmsi=2)

    assert [json.loads(line)["mmsi"] for line in export("events", "--organisation", "other").splitlines()] == [2]


def test_csv_has_the_same_rows_under_a_header() -> None:
    world = World()
    world.make_event("missing")

    row = next(csv.DictReader(io.StringIO(export("events", "--format", "csv"))))

    assert (row["kind"], row["duration_seconds"], row["area"]) == ("missing", "21600", "Gulf")


def test_a_name_that_a_spreadsheet_would_run_is_made_harmless() -> None:
    world = World()
    world.make_event(area=world.make_area("=HYPERLINK(1)"))

    assert next(csv.DictReader(io.StringIO(export("events", "--format", "csv"))))["area"] == "'=HYPERLINK(1)"


def test_notifications_say_who_is_told_of_what() -> None:
    world = World()
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    world.make_event()
    matching_step(now=NOW)

    row = json.loads(export("notifications"))

    assert (row["user"], row["rule"], row["state"], row["kind"]) == (user.email, "Anybody enters", "pending", "entered")


def test_an_unknown_organisation_is_told_with_those_that_are_known() -> None:
    World()

    with pytest.raises(CommandError, match="no organisation 'maona'; known: moana"):
        export("events", "--organisation", "maona")
