"""The live watch on the real database: fencing, restarts, areas that change; and the real command on a socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pyais import encode_dict

from resilience.models import Incident
from tests.vessels.watch.commands import (
    Door,
    Harbour,
    box,
    exported,
    start_watch,
    terminate,
    use_area,
    wait_for,
    watch_here,
)
from tests.vessels.watch.worlds import random_rows, report, rows_of
from vessels.areas import AreaContent, area_save, stored_geometry
from vessels.models import AreaUse, Event, Feed, FeedGap, FeedRejection, Membership, Position, Scope, VesselState
from vessels.reports import Batch, Rejected, ReportArray
from vessels.watch import payloads, store
from vessels.watch.events import to_microseconds
from vessels.watch.live import DatabaseAway, LiveWatch

pytestmark = pytest.mark.django_db(transaction=True)

A, B = 219000001, 219000002
IN, OUT = (0.5, 0.5), (1.5, 0.5)


@pytest.fixture
def feed() -> Feed:
    return Feed.objects.create(name="harbour", source="nmea+tcp://127.0.0.1:1", active=True)


@pytest.fixture
def harbour() -> Iterator[Harbour]:
    server = Harbour()
    yield server
    server.close()


def live() -> LiveWatch:
    return LiveWatch(now=lambda: to_microseconds(timezone.now()))


def batch(feed: Feed, *reports: dict[str, Any]) -> Batch:
    rows = rows_of(reports)
    rows["feed"] = feed.pk
    rows["payload"] = [hash((r["minutes"], r["mmsi"])) & 0x7FFFFFFF for r in reports]
    return Batch(rows)


def kinds() -> list[str]:
    return list(Event.objects.order_by("occurred_at", "id").values_list("kind", flat=True))


def test_a_batch_changes_everything_together(feed: Feed):
    use_area("square", box(0, 0, 1, 1))

    live().take(batch(feed, report(0, A, *IN), report(1, B, *OUT)), feed=feed.pk)

    feed.refresh_from_db()
    assert kinds() == ["appeared"]
    assert Position.objects.count() == 2
    assert Membership.objects.get().mmsi == A
    assert (feed.messages, feed.positions) == (2, 2)
    assert feed.watermark is not None
    assert Event.objects.get().vessel is not None


def test_whoever_finds_the_cursor_moved_evaluates_again(feed: Feed):
    use_area("square", box(0, 0, 1, 1))
    one, other = live(), live()

    one.take(batch(feed, report(0, A, *IN)), feed=feed.pk)
    other.take(batch(feed, report(90, A, *OUT)), feed=feed.pk)
    one.take(batch(feed, report(180, A, *IN)), feed=feed.pk)

    assert kinds() == ["appeared", "exited", "entered"]


def test_a_restart_goes_on_and_its_downtime_is_a_gap(feed: Feed):
    use_area("square", box(0, 0, 1, 1), missing=[timedelta(minutes=5)])
    AreaUse.objects.update(since="2020-01-01T00:00:00Z")
    live().take(batch(feed, report(0, A, *IN), report(1, B, *OUT)), feed=feed.pk)

    again = live()
    for minute in range(4, 11):
        again.take(batch(feed, report(minute, B, *OUT)), feed=feed.pk)
    again.take(batch(feed, report(90, A, *OUT)), feed=feed.pk)

    gap = FeedGap.objects.get(reason="downtime")
    missing = Event.objects.get(kind="missing")
    assert gap.end - gap.start == timedelta(minutes=3)
    assert missing.gap_start is not None
    assert missing.occurred_at - missing.gap_start == timedelta(minutes=8)
    assert sorted(kinds()) == ["appeared", "exited", "missing", "resumed"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_state_stored_and_loaded_anywhere_gives_the_same_events(feed: Feed, seed: int):
    for n, square in enumerate((box(0, 0, 1, 1), box(0.4, 0.3, 1.4, 1.3))):
        use_area(f"area {n}", square, missing=[timedelta(minutes=3), timedelta(minutes=10)])
    AreaUse.objects.update(since="2020-01-01T00:00:00Z")
    rows = random_rows(seed, feeds=1)
    rows["feed"] = feed.pk

    undisturbed = events_of(feed, rows, load_every=10_000)
    reloaded = events_of(feed, rows, load_every=1)

    assert len(undisturbed) > 50
    assert reloaded == undisturbed


def events_of(feed: Feed, rows: ReportArray, *, load_every: int) -> list[tuple[Any, ...]]:
    """The events of these reports on an empty database, with the state loaded anew now and then."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE vessels_event, vessels_scope, vessels_feedgap CASCADE")
    Feed.objects.filter(pk=feed.pk).update(watermark=None, alive=timedelta(0))
    watch = live()
    for number, start in enumerate(range(0, len(rows), 15), start=1):
        watch.take(Batch(rows[start : start + 15]), feed=feed.pk)
        if number % load_every == 0:
            watch.load()
    return exported()


def test_repeats_and_suspects_survive_a_restart(feed: Feed):
    first = batch(feed, report(0, A, *IN), report(1, A, 40, 40))
    live().take(first, feed=feed.pk)

    again = live()
    repeated = batch(feed, report(1.1, A, 40, 40))
    repeated.rows["payload"] = first.rows["payload"][1]
    again.take(repeated, feed=feed.pk)
    held = Position.objects.count()
    again.take(batch(feed, report(2, A, 40, 40)), feed=feed.pk)

    assert held == 1
    assert list(Position.objects.order_by("id").values_list("lon", flat=True)) == [0.5, 40, 40]


def test_an_area_edited_while_live_recomputes_memberships_silently(feed: Feed):
    area = use_area("square", box(0, 0, 1, 1))
    watch = live()
    watch.take(batch(feed, report(0, A, *IN), report(0, B, *OUT)), feed=feed.pk)

    moved = AreaContent("square", stored_geometry(box(1, 0, 2, 1)))
    area_save(organisation=None, content=moved, at=timezone.now())
    watch.refresh()
    inside = list(Membership.objects.values_list("mmsi", "area_version"))
    watch.take(batch(feed, report(90, B, *IN)), feed=feed.pk)

    area.refresh_from_db()
    assert inside == [(B, area.version)]
    assert kinds() == ["appeared", "exited"]


def test_a_run_over_files_moves_the_state_of_a_live_watch_and_costs_it_nothing(feed: Feed, tmp_path: Path):
    use_area("square", box(0, 0, 1, 1))
    watch = live()
    watch.take(batch(feed, report(0, A, *IN)), feed=feed.pk)

    watch_here(file_of(tmp_path / "first.csv", B, OUT), "--once")
    watch.take(batch(feed, report(90, A, *OUT)), feed=feed.pk)
    watch_here(file_of(tmp_path / "second.csv", B, IN, hour=3), "--once")
    moved = AreaContent("square", stored_geometry(box(1, 0, 2, 1)))
    area_save(organisation=None, content=moved, at=timezone.now())
    watch.refresh()

    feed.refresh_from_db()
    assert kinds() == ["appeared", "exited", "entered"]
    assert memberships() == [A]  # the area came to her, and left B
    assert (feed.messages, feed.positions) == (2, 2)
    assert watch.totals.counts.positions == 2


def file_of(path: Path, mmsi: int, place: tuple[float, float], *, hour: int = 0) -> str:
    """A source of one report."""
    path.write_text(f"mmsi,time,lon,lat\n{mmsi},2024-03-01T{hour:02}:00:00,{place[0]},{place[1]}\n")
    return f"csv+file:{path}?mmsi=mmsi&time=time&lon=lon&lat=lat"


def test_a_report_that_breaks_our_code_is_left_out_alone(feed: Feed, monkeypatch: pytest.MonkeyPatch):
    watch = live()
    honest = type(watch.watch).evaluate

    def break_on_b(self: Any, given: Batch) -> Any:
        if (given.rows["mmsi"] == B).any():
            raise RuntimeError("boom")
        return honest(self, given)

    monkeypatch.setattr(type(watch.watch), "evaluate", break_on_b)
    watch.take(batch(feed, *(report(m, B if m == 3 else A, *IN) for m in range(8))), feed=feed.pk)

    assert Position.objects.count() == 7
    assert FeedRejection.objects.get().kind == "failed"


def test_a_lost_connection_is_waited_out_with_the_batch_in_hand(feed: Feed):
    use_area("square", box(0, 0, 1, 1))
    watch = live()

    kill_connections_of_this_session()
    watch.take(batch(feed, report(0, A, *IN)), feed=feed.pk)

    assert kinds() == ["appeared"]


def away(times: int, honest: Callable[..., Any]) -> Callable[..., Any]:
    """`honest`, but for the first few calls, in which the database is away."""
    left = [True] * times

    def call(*arguments: Any) -> Any:
        if left:
            left.pop()
            raise OperationalError("away")
        return honest(*arguments)

    return call


def test_a_state_that_could_not_be_loaded_again_is_not_evaluated_upon(feed: Feed, monkeypatch: pytest.MonkeyPatch):
    use_area("square", box(0, 0, 1, 1))
    watch = live()
    monkeypatch.setattr("vessels.watch.live.scope_move", away(1, store.scope_move))
    monkeypatch.setattr("vessels.watch.live.load_repeats", away(1, payloads.load_repeats))

    watch.take(batch(feed, report(0, A, *IN)), feed=feed.pk)

    assert kinds() == ["appeared"]


def test_a_load_that_fails_leaves_the_state_and_its_cursor_as_they_were(feed: Feed, monkeypatch: pytest.MonkeyPatch):
    use_area("square", box(0, 0, 1, 1))
    one, other = live(), live()
    other.take(batch(feed, report(0, A, *IN)), feed=feed.pk)
    monkeypatch.setattr("vessels.watch.live.load_repeats", away(1, payloads.load_repeats))

    with pytest.raises(OperationalError):
        one.load()
    one.take(batch(feed, report(90, A, *OUT)), feed=feed.pk)

    assert kinds() == ["appeared", "exited"]


def test_a_stop_ends_the_wait_for_the_database(feed: Feed, monkeypatch: pytest.MonkeyPatch):
    use_area("square", box(0, 0, 1, 1))
    stop = threading.Event()
    watch = LiveWatch(now=lambda: to_microseconds(timezone.now()), stop=stop)
    monkeypatch.setattr("vessels.watch.live.scope_move", away(1_000, store.scope_move))
    monkeypatch.setattr("vessels.watch.live.LAST_TRIES_SECONDS", 0.5)
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()

    with pytest.raises(DatabaseAway):
        watch.take(batch(feed, report(0, A, *IN)), feed=feed.pk)

    assert time.monotonic() - began < 10
    assert kinds() == []


def kill_connections_of_this_session() -> None:
    with connection.cursor() as cursor, pytest.raises(Exception, match=r"terminat|closed"):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_what_a_feed_refused_is_counted_without_any_report(feed: Feed):
    refused = Batch(rows_of([]), rejected={"garbled": Rejected(3, "\\x00!!")})

    live().take(refused, feed=feed.pk)

    assert FeedRejection.objects.get().count == 3


# The real command


def sentences(*places: tuple[int, float, float]) -> list[str]:
    """Type 1 messages; each with a speed of its own, so that none repeats another."""
    made: list[str] = []
    for mmsi, lon, lat in places:
        said = {"type": 1, "mmsi": mmsi, "lon": lon, "lat": lat, "speed": np.random.default_rng().uniform(1, 90)}
        made += [str(sentence) for sentence in encode_dict(said, talker_id="AI", sentence_type="VDM")]
    return made


def memberships() -> Sequence[int]:
    return list(Membership.objects.values_list("mmsi", flat=True))


def test_the_command_listens_reconnects_and_restarts(harbour: Harbour):
    use_area("square", box(0, 0, 1, 1))
    process = start_watch(harbour.source)
    try:
        harbour.say("rubbish", *sentences((A, 0.999, 0.5)))
        wait_for(lambda: memberships() == [A])
        harbour.hang_up()
        harbour.say(*sentences((B, *IN)))
        wait_for(lambda: set(memberships()) == {A, B})
    finally:
        code, output = terminate(process)
    again = start_watch(harbour.source)
    try:
        harbour.hang_up()
        harbour.say(*sentences((A, 1.003, 0.5)))
        wait_for(lambda: memberships() == [B])
    finally:
        terminate(again)

    assert code == 0, output
    assert "appeared 2" in output
    assert kinds() == ["appeared", "appeared", "exited"]
    assert FeedRejection.objects.filter(kind="garbled").exists()
    assert FeedGap.objects.filter(reason="downtime").exists()


def test_metrics_at_an_address_of_another_machine_cost_the_metrics_and_no_event(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("METRICS_HOST", "192.0.2.1")
    monkeypatch.setenv("METRICS_PORT", "9100")
    use_area("square", box(0, 0, 1, 1))
    process = start_watch(harbour.source)
    try:
        harbour.say(*sentences((A, *IN)))
        wait_for(lambda: memberships() == [A])
    finally:
        code, output = terminate(process)

    assert code == 0, output
    assert kinds() == ["appeared"]
    told = Incident.objects.get(kind="metrics_not_served")
    assert "“watch” cannot be had at 192.0.2.1, port 9100" in told.summary


def test_a_second_watch_stands_by_until_the_first_is_gone(harbour: Harbour):
    use_area("square", box(0, 0, 1, 1))
    first = start_watch(harbour.source)
    harbour.say(*sentences((A, *IN)))
    wait_for(lambda: memberships() == [A])
    second = start_watch(harbour.source)
    try:
        assert second.stdout is not None
        told = second.stdout.readline()
        first.kill()
        first.communicate()
        harbour.hang_up()
        harbour.say(*sentences((B, *IN)))
        wait_for(lambda: set(memberships()) == {A, B})
    finally:
        code, _ = terminate(second)

    assert code == 0
    assert "watch_standing_by" in told


def test_sigterm_ends_the_watch_within_seconds_while_the_database_is_away(harbour: Harbour):
    use_area("square", box(0, 0, 1, 1))
    door = Door()
    process = start_watch(harbour.source, database=door.url)
    try:
        harbour.say(*sentences((A, *IN)))
        wait_for(lambda: memberships() == [A])
        door.shut()
        harbour.say(*sentences((B, *IN)))
        time.sleep(1.0)
        began = time.monotonic()
        code, output = terminate(process)
        took = time.monotonic() - began
    finally:
        process.kill()
        door.remove()

    assert took < 15
    assert code == 1, output
    assert "watch_reports_lost" in output
    assert "1 reports that were heard are not committed" in output
    assert "Traceback" not in output.split("watch_stopped")[-1]
    assert memberships() == [A]


def test_feeds_of_the_admin_are_followed_while_the_watch_runs(harbour: Harbour):
    process = start_watch()
    try:
        wait_for(lambda: Scope.objects.exists())
        feed = Feed.objects.create(name="added", source=harbour.source, active=True)
        harbour.say(*sentences((A, *OUT)))
        wait_for(lambda: VesselState.objects.filter(mmsi=A).exists())
        feed.active = False
        feed.save(update_fields=["active"])
        wait_for(lambda: is_hung_up(harbour))
    finally:
        code, _ = terminate(process)

    assert code == 0


def is_hung_up(harbour: Harbour) -> bool:
    client = harbour.clients[-1]
    client.settimeout(0.05)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
