"""Runs over files with the real command: the same events whatever happens to the process."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper

from tests.vessels.feeds.writing import at, position, write
from tests.vessels.watch.commands import box, exported, run_watch, start_watch, terminate, use_area, watch_here
from vessels.models import BoundedSource, Event, Feed, Membership, Position, Scope, VesselState
from vessels.watch import bounded
from vessels.watch.events import Event as Told

pytestmark = pytest.mark.django_db(transaction=True)

HEADER = "MMSI,BaseDateTime,LAT,LON,SOG,COG,Heading,VesselName,IMO,CallSign,VesselType,Status,Length,Width,Draft,Cargo"


def write_tracks(path: Path, *, count: int = 3000, vessels: int = 30, start: str = "2024-03-01T00:00:00") -> Path:
    """Vessels that drift over an area's boundary, with pauses."""
    rng = np.random.default_rng(7)
    place = rng.uniform(-0.3, 1.3, (vessels, 2))
    began = datetime.fromisoformat(start)
    lines = [HEADER]
    for i in range(count):
        who = int(rng.integers(vessels) * rng.random())
        place[who] += rng.normal(0, 0.01, 2)
        at = (began + timedelta(seconds=8 * i)).isoformat()
        lon, lat = place[who]
        lines.append(f"{219000001 + who},{at},{lat:.5f},{lon:.5f},5.0,90,511,SHIP {who},,,70,0,80,12,4,70")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def source(tmp_path: Path) -> str:
    use_area("square", box(0, 0, 1, 1), missing=[timedelta(minutes=5), timedelta(minutes=20)])
    return f"csv+file:{write_tracks(tmp_path / 'tracks.csv')}"


def forget_everything() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE vessels_event, vessels_position, vessels_scope, vessels_feed CASCADE")


def test_a_run_killed_again_and_again_tells_the_same_events_as_an_undisturbed_one(source: str):
    run_watch(source, "--once")
    undisturbed, positions = exported(), Position.objects.count()
    forget_everything()

    kills = 0
    for attempt in range(5):
        process = start_watch(source, "--once", "--batch-size", "40", "--speed", "4000")
        time.sleep(1.5 + random.Random(attempt).random() * 1.5)
        kills += process.poll() is None
        process.kill()
        process.communicate()
    code, output = run_watch(source, "--once", "--batch-size", "70")

    assert code == 0, output
    assert kills >= 3
    assert {kind for kind, *_ in undisturbed} == {"appeared", "entered", "exited", "missing", "resumed"}
    assert exported() == undisturbed
    assert Position.objects.count() == positions


def test_events_are_written_in_one_order_whoever_tells_of_them(source: str, monkeypatch: pytest.MonkeyPatch):
    """Two who write the same events in two orders would wait for each other."""
    real, written = bounded.write_events, list[int]()

    def backwards(cursor: CursorWrapper, events: Sequence[Told], *, now: int) -> list[str]:
        kinds = real(cursor, events[::-1], now=now)
        written.append(len(kinds))
        return kinds

    monkeypatch.setattr(bounded, "write_events", backwards)
    watch_here(source, "--once")

    keys = iter(Event.objects.order_by("pk").values_list("occurred_at", "position_key", "mmsi", "area_id", "kind"))
    for number in written:
        together = list(islice(keys, number))
        assert together == sorted(together)
    assert max(written) > 20


def test_a_finished_source_is_skipped_and_again_tells_only_what_is_new(source: str):
    watch_here(source, "--once")
    before, positions, messages = exported(), Position.objects.count(), Feed.objects.get().messages

    skipped = watch_here(source, "--once")
    use_area("another", box(0.2, 0.2, 0.8, 0.8))
    again = watch_here(source, "--once", "--again")

    assert "finished at" in skipped
    assert set(before) < set(exported())
    assert {e[2] for e in set(exported()) - set(before)} == {"another"}
    assert Position.objects.count() == positions
    assert Feed.objects.get().messages == messages
    assert "suspects" in again


def test_a_finished_run_leaves_its_vessels_to_the_live_scope(source: str):
    watch_here(source, "--once")

    assert set(Scope.objects.values_list("key", flat=True)) == {"live", "files"}
    assert VesselState.objects.count() == len(set(Position.objects.values_list("mmsi", flat=True)))
    assert Membership.objects.exists()
    assert BoundedSource.objects.get().finished_at is not None


def test_the_next_file_goes_on_where_the_first_one_ended(tmp_path: Path):
    use_area("square", box(0, 0, 1, 1))
    first = tmp_path / "first.csv"
    first.write_text(f"{HEADER}\n219000001,2024-03-01T00:00:00,0.5,0.5,,,,,,,,,,,,\n")
    second = tmp_path / "second.csv"
    second.write_text(f"{HEADER}\n219000001,2024-03-01T03:00:00,0.5,1.5,,,,,,,,,,,,\n")
    earlier = tmp_path / "earlier.csv"
    earlier.write_text(f"{HEADER}\n219000001,2024-02-28T00:00:00,0.4,0.4,,,,,,,,,,,,\n")

    for path in (first, second, earlier):
        watch_here(f"csv+file:{path}", "--once")

    assert list(Event.objects.order_by("occurred_at").values_list("kind", "occurred_at__day")) == [
        ("appeared", 28),
        ("appeared", 1),
        ("exited", 1),
    ]
    assert VesselState.objects.get().lon == 1.5


def test_files_repeat_each_other_across_the_cut_between_them(tmp_path: Path):
    use_area("square", box(0, 0, 1, 1))
    inside, outside = {"lon": 0.999, "lat": 0.5}, {"lon": 1.001, "lat": 0.5}
    write(tmp_path, at(0, position(**inside)), name="first.nmea")
    write(tmp_path, at(60, position(**inside)), at(61, position(**inside)), name="second.nmea")
    write(tmp_path, at(125, position(**inside)), at(140, position(**outside)), name="third.nmea")

    for name in ("first", "second", "third"):
        watch_here(f"nmea+file:{tmp_path / name}.nmea", "--once")

    times = Position.objects.order_by("id").values_list("time", flat=True)
    assert [time.minute * 60 + time.second for time in times] == [0, 61, 125, 140]


def test_sigterm_ends_a_replay_with_what_it_evaluated_committed(source: str):
    process = start_watch(source, "--once", "--speed", "600")
    until = time.monotonic() + 60
    while not BoundedSource.objects.filter(ordinal__gt=0).exists() and time.monotonic() < until:
        time.sleep(0.1)

    code, output = terminate(process)

    assert code == 0, output
    assert "stopped" in output
    assert 0 < BoundedSource.objects.get().ordinal < 3000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nmea+fil:x"], "nmea+file:PATH"),
        (["nmea+file:/no/such/file", "--once"], "/no/such/file"),
        (["--once"], "--once needs files"),
    ],
)
def test_a_wrong_source_is_named_and_ends_with_2(arguments: list[str], says: str):
    code, output = run_watch(*arguments)

    assert code == 2
    assert says in output
