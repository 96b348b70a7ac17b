"""The watch's rules, one by one, and its promise that batches do not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vessels.watch.worlds import (
    MINUTE,
    NO_PLACE,
    START,
    areas,
    bounded,
    bounded_watch,
    everything,
    random_rows,
    report,
    rows_of,
    square,
    told,
)
from vessels.reports import Batch
from vessels.watch.clock import FeedClock
from vessels.watch.core import Watch

A, B = 219000001, 219000002
IN, OUT = (0.5, 0.5), (1.5, 0.5)


def test_the_first_position_inside_is_an_appearance_and_later_ones_are_crossings():
    rows = rows_of([report(0, A, *IN), report(120, A, *OUT), report(240, A, *IN)])

    events = bounded(rows, areas(square(0, 0)))

    assert told(events) == [("appeared", A, 1, 0), ("exited", A, 1, 120), ("entered", A, 1, 240)]
    assert events[1].not_before == START
    assert events[1].not_after == START + 120 * MINUTE


def test_a_position_on_the_boundary_is_inside():
    assert told(bounded(rows_of([report(0, A, 1.0, 0.5)]), areas(square(0, 0)))) == [("appeared", A, 1, 0)]


def test_a_vessel_heard_without_a_place_is_not_missing():
    others = [report(m, B, *OUT) for m in range(31)]
    heard = [report(0, A, *IN), report(9, A, *NO_PLACE), report(18, A, *NO_PLACE), report(27, A, *NO_PLACE)]
    rows = rows_of(sorted(others + heard, key=lambda r: r["minutes"]))

    events = bounded(rows, areas(square(0, 0), missing=[10]))

    assert told(events) == [("appeared", A, 1, 0)]


def test_missing_is_told_at_its_moment_and_resumed_once_for_all_durations():
    others = [report(m, B, *OUT) for m in range(25)]
    rows = rows_of(sorted([*others, report(0.5, A, *IN), report(20, A, *IN)], key=lambda r: r["minutes"]))

    events = bounded(rows, areas(square(0, 0), missing=[5, 10.25]))

    assert told(events) == [
        ("appeared", A, 1, 0.5),
        ("missing", A, 1, 5.5),
        ("missing", A, 1, 10.75),
        ("resumed", A, 1, 20),
    ]
    assert events[-1].duration == round(19.5 * MINUTE)
    assert events[1].evidence["status"] is None
    assert events[1].evidence["last"]["lon"] == 0.5
    assert events[1].evidence["boundary_nm"] == pytest.approx(30, rel=0.01)


def test_a_vessel_heard_at_the_very_moment_is_not_missing():
    others = [report(m, B, *OUT) for m in range(11)]
    rows = rows_of(sorted([*others, report(0, A, *IN), report(5, A, *IN)], key=lambda r: r["minutes"]))

    events = bounded(rows, areas(square(0, 0), missing=[5]))

    assert told(events) == [("appeared", A, 1, 0), ("missing", A, 1, 10)]


def test_a_silence_of_the_whole_feed_does_not_count():
    rows = rows_of([report(0, A, *IN), report(9, B, *OUT), report(30, B, *OUT), report(36, B, *OUT)])

    events = bounded(rows, areas(square(0, 0), missing=[12]))

    assert told(events) == [("appeared", A, 1, 0), ("missing", A, 1, 33)]


def test_a_dead_feed_never_makes_a_vessel_missing():
    rows = rows_of([report(0, A, *IN), *(report(m, B, *OUT, feed=1) for m in range(60))])

    assert told(bounded(rows, areas(square(0, 0), missing=[5]))) == [("appeared", A, 1, 0)]


def test_of_several_gaps_between_two_positions_only_the_last_is_resumed():
    others = [report(m + 0.5, B, *OUT) for m in range(40)]
    heard = [report(0, A, *IN), report(15, A, *NO_PLACE), report(30, A, *IN)]
    rows = rows_of(sorted(others + heard, key=lambda r: r["minutes"]))

    events = [e for e in bounded(rows, areas(square(0, 0), missing=[5])) if e.mmsi == A]

    assert told(events)[1:] == [
        ("missing", A, 1, 5),
        ("missing", A, 1, 20),
        ("resumed", A, 1, 30),
        ("missing", A, 1, 35),
    ]
    assert events[3].gap_start == START + 15 * MINUTE


def test_a_bad_fix_is_dropped_and_a_confirmed_jump_is_accepted_with_its_own_time():
    bad = rows_of([report(0, A, *IN), report(1, A, 40, 40), report(2, A, *IN)])
    moved = rows_of([report(0, A, *IN), report(1, A, 40, 40), report(2, A, 40, 40)])

    assert told(bounded(bad, areas(square(0, 0)))) == [("appeared", A, 1, 0)]
    assert told(bounded(moved, areas(square(0, 0)))) == [("appeared", A, 1, 0), ("exited", A, 1, 1)]


def test_crossings_at_the_very_same_time_have_keys_of_their_own():
    rows = rows_of([report(0, A, 1.001, 0.5), report(0, A, 1, 0.5), report(0, A, 1.001, 0.5), report(0, A, 1, 0.5)])

    events = bounded(rows, areas(square(0, 0)))

    assert [e.kind for e in events] == ["entered", "exited", "entered"]
    assert len({(e.kind, e.position_key) for e in events}) == 3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 120))
def test_events_do_not_depend_on_the_size_of_batches(seed: int, size: int):
    rows = random_rows(seed)
    world = areas(square(0, 0), square(0.4, 0.3), missing=[3, 10, 30])

    whole = bounded(rows, world, size=len(rows), silent_after=8)
    cut = bounded(rows, world, size=size, silent_after=8)

    assert everything(cut) == everything(whole)


def test_live_a_report_that_is_not_newer_is_late_and_changes_nothing():
    watch = live_watch(areas(square(0, 0)))

    watch.evaluate(Batch(rows_of([report(10, A, *IN)])))
    outcome = watch.evaluate(Batch(rows_of([report(5, A, *OUT, payload=9), report(10, A, *OUT, payload=8)])))

    assert outcome.events == []
    assert outcome.positions is not None
    assert outcome.positions.late.tolist() == [True, True]
    assert outcome.counts[1].late == 2


def test_live_a_new_area_around_a_vessel_says_nothing_until_it_crosses():
    watch = live_watch(areas())
    watch.evaluate(Batch(rows_of([report(0, A, *IN)])))

    changed = watch.use_areas(areas(square(0, 0)))
    inside = watch.evaluate(Batch(rows_of([report(1, A, *IN, payload=7)])))
    left = watch.evaluate(Batch(rows_of([report(90, A, *OUT, payload=8)])))

    assert changed == {0}
    assert told(inside.events) == []
    assert told(left.events) == [("exited", A, 1, 90)]


def test_live_missing_counts_from_the_start_of_its_rule():
    since = START + 4 * MINUTE
    watch = live_watch(areas(square(0, 0), missing=[5], since=since))
    rows = rows_of([report(0, A, *IN), *(report(m, B, *OUT) for m in range(1, 12))])

    told_now = [e for i in range(len(rows)) for e in watch.evaluate(Batch(rows[i : i + 1])).events]

    assert ("missing", A, 1, 9) in told(told_now)


def test_live_downtime_is_a_gap_however_short():
    clock = FeedClock(10 * MINUTE)
    watch = live_watch(areas(square(0, 0), missing=[5]), clock)
    watch.evaluate(Batch(rows_of([report(0, A, *IN), report(1, B, *OUT)])))
    clock.interrupted = True

    outcome = watch.evaluate(Batch(rows_of([report(4, B, *OUT, payload=8), report(8, B, *OUT, payload=9)])))
    later = watch.evaluate(Batch(rows_of([report(9, B, *OUT, payload=10)])))

    assert [(gap.start, gap.end, gap.downtime) for gap in outcome.gaps[1]] == [
        (START + MINUTE, START + 4 * MINUTE, True)
    ]
    assert told(outcome.events) == []
    assert told(later.events) == [("missing", A, 1, 8)]


def test_counts_say_what_became_of_each_report():
    rows = rows_of(
        [report(0, A, *IN, payload=5), report(0.5, A, *IN, payload=5), report(1, A, 40, 40), report(2, A, *NO_PLACE)]
    )

    counts = bounded_watch(rows, areas()).evaluate(Batch(rows)).counts[1]

    assert (counts.messages, counts.positions, counts.repeats, counts.suspects) == (4, 1, 1, 1)


def live_watch(world, clock: FeedClock | None = None) -> Watch:
    return Watch(areas=world, clocks={1: clock or FeedClock(10 * MINUTE)}, feeds=[1], live=True)


def test_random_worlds_hold_every_kind_of_event():
    kinds = {e.kind for seed in range(8) for e in bounded(random_rows(seed), areas(square(0, 0), missing=[3]))}

    assert kinds == {"appeared", "entered", "exited", "missing", "resumed"}
    assert np.isnan(random_rows(1)["lon"]).any()
