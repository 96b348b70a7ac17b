"""Events of hand-made tracks, worked out by hand from the definitions."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

from tests.reference.evaluate import AliveClock, Event, evaluate
from tests.reference.reports import Report, microseconds, read_csv, read_nmea
from tests.reference.tracks import MMSI, at, line_of_positions, position, static, text

# One degree of latitude is 60 nmi: a step of 0.01° (0.6 nmi) in a minute is 36 knots, in half a minute 72.
BOX: dict[str, Any] = {"type": "Polygon", "coordinates": [[[0, 1], [2, 1], [2, 2], [0, 2], [0, 1]]]}
FAR: dict[str, Any] = {"type": "Polygon", "coordinates": [[[0, 4], [2, 4], [2, 5], [0, 5], [0, 4]]]}
OTHER = MMSI + 1


def events_of(*messages: list[str], missing: tuple[float, ...] = (), box: dict[str, Any] = BOX) -> list[Event]:
    """The events of a track in the box; durations in minutes."""
    reports = sorted(read_nmea(text(*messages), 0), key=lambda report: report.time)
    return evaluate(reports, {"box": box}, {"box": [timedelta(minutes=m) for m in missing]})


def brief(events: list[Event]) -> list[tuple[str, float]]:
    return [(event["kind"], minutes(event)) for event in events]


def minutes(event: Event, name: str = "occurred_at") -> float:
    return float((event[name] - at(0)) / timedelta(minutes=1))


# --- crossings ---


def test_entering_and_leaving_carry_the_positions_before_and_after() -> None:
    entered, exited = events_of(
        position(0, 1, 0.99), position(2, 1, 1.005), position(5, 1, 1.01), position(7, 1, 0.995)
    )

    assert entered == {
        "kind": "entered",
        "mmsi": MMSI,
        "area": "box",
        "occurred_at": at(2),
        "lon": 1.0,
        "lat": 1.005,
        "duration_seconds": None,
        "not_before": at(0),
        "not_after": at(2),
    }
    assert (exited["kind"], exited["lat"]) == ("exited", 0.995)
    assert (exited["occurred_at"], exited["not_before"], exited["not_after"]) == (at(7), at(5), at(7))


def test_the_first_position_ever_inside_has_appeared() -> None:
    (event,) = events_of(position(3, 1, 1.5))

    assert (event["kind"], event["occurred_at"]) == ("appeared", at(3))
    assert (event["not_before"], event["not_after"]) == (None, None)


def test_a_message_without_a_position_before_does_not_take_the_first_place() -> None:
    assert brief(events_of(static(0), position(1, 181, 91), position(2, 1, 1.5))) == [("appeared", 2)]


def test_the_boundary_is_inside() -> None:
    assert brief(events_of(position(0, 1, 0.99), position(2, 1, 1), position(4, 1, 0.99))) == [
        ("entered", 2),
        ("exited", 4),
    ]


def test_a_hole_is_outside() -> None:
    hole = [[0.5, 1.2], [1.5, 1.2], [1.5, 1.8], [0.5, 1.8], [0.5, 1.2]]
    ring = {"type": "Polygon", "coordinates": [BOX["coordinates"][0], hole]}

    events = events_of(position(0, 1, 1.19), position(2, 1, 1.21), position(4, 1, 1.2), box=ring)

    assert brief(events) == [("appeared", 0), ("exited", 2), ("entered", 4)]


def test_crossing_a_whole_area_between_two_positions_raises_nothing() -> None:
    assert events_of(position(0, 1, 0.9), position(200, 1, 2.1)) == []


# --- repeats ---


def test_the_same_bits_within_60_s_of_the_first_hearing_are_no_position() -> None:
    same = {"second": 0}
    track = [position(0, 1, 0.999, **same), position(0.5, 1, 1.001, **same)]

    events = events_of(*track, position(1, 1, 0.999, **same), position(1.5, 1, 1.001, **same))

    assert brief(events) == [("entered", 0.5)]


def test_after_60_s_the_same_bits_are_a_new_first_hearing() -> None:
    same = {"second": 0}
    late = 1 + 1 / 60
    track = [position(0, 1, 0.999, **same), position(0.5, 1, 1.001, **same)]

    events = events_of(*track, position(late, 1, 0.999, **same), position(late + 0.5, 1, 1.001, **same))

    assert brief(events)[:2] == [("entered", 0.5), ("exited", late)]
    assert [kind for kind, _ in brief(events)] == ["entered", "exited", "entered"]


def test_of_rows_with_the_same_vessel_and_time_the_first_counts() -> None:
    rows = "MMSI,BaseDateTime,LAT,LON\n" + "".join(
        f"219000001,2025-01-01T00:0{minute}:00,{lat},1\n" for minute, lat in ((0, 0.999), (1, 1.001), (1, 0.999))
    )

    assert brief(evaluate(read_csv(rows, 0), {"box": BOX})) == [("entered", 1)]


def test_a_row_without_a_place_does_not_make_the_next_one_a_repeat() -> None:
    rows = "MMSI,BaseDateTime,LAT,LON\n219000001,2025-01-01T00:00:00,91,0\n219000001,2025-01-01T00:00:00,1.5,1\n"

    assert brief(evaluate(read_csv(rows, 0), {"box": BOX})) == [("appeared", 0)]


# --- jumps ---


def test_a_single_jump_is_dropped_as_a_bad_fix() -> None:
    events = events_of(position(0, 1, 0.99), position(1, 1, 1.5), position(2, 1, 0.99))

    assert events == []


def test_two_reports_that_agree_are_both_accepted_in_their_order() -> None:
    events = events_of(position(0, 1, 0.5), position(1, 1, 1.5), position(2, 1, 1.501))

    assert [(e["kind"], minutes(e), e["lat"], minutes(e, "not_before")) for e in events] == [("entered", 1, 1.5, 0)]


def test_of_two_suspects_that_disagree_the_later_is_held() -> None:
    track = [position(0, 1, 0.5), position(1, 1, 1.5), position(2, 1, 4.5), position(3, 1, 4.501)]

    assert events_of(*track) == []
    assert brief(events_of(*track, box=FAR)) == [("entered", 2)]


def test_a_suspect_at_the_end_is_dropped() -> None:
    assert events_of(position(0, 1, 0.5), position(1, 1, 1.5)) == []


def test_a_short_step_is_never_a_jump() -> None:
    # 0.008° are 0.48 nmi (0.478 on the ellipsoid), at no elapsed time at all.
    assert brief(events_of(position(0, 1, 0.995), position(0, 1, 1.003))) == [("entered", 0)]


def test_a_longer_step_without_elapsed_time_is_a_jump() -> None:
    assert events_of(position(0, 1, 0.995), position(0, 1, 1.005), position(1, 1, 0.995)) == []


def test_a_step_of_just_below_60_knots_is_accepted_and_just_above_is_held() -> None:
    # 0.1° of latitude here is 11,057.4 m = 5.970 nmi: 60 knots take 5.970 minutes.
    slow = events_of(position(0, 1, 0.95), position(5.98, 1, 1.05))
    fast = events_of(position(0, 1, 0.95), position(5.96, 1, 1.05))

    assert (brief(slow), brief(fast)) == ([("entered", 5.98)], [])


def test_a_repeat_of_a_suspect_does_not_confirm_it() -> None:
    same = {"second": 0}

    events = events_of(position(0, 1, 0.5), position(1, 1, 1.5, **same), position(1.5, 1, 1.5, **same))

    assert events == []


# --- missing and resumed ---


def others(*times: float) -> list[list[str]]:
    """Another vessel, outside, that keeps the feed alive."""
    return [position(when, 10, 10 + when / 10_000, mmsi=OTHER) for when in times]


def test_missing_comes_when_the_feed_was_alive_for_the_duration() -> None:
    events = events_of(position(0, 1, 1.5), *others(4, 8, 12.25), missing=(10,))

    assert brief(events) == [("appeared", 0), ("missing", 10)]
    assert (events[1]["lon"], events[1]["lat"], events[1]["duration_seconds"]) == (1.0, 1.5, 600.0)


def test_a_silence_of_the_feed_is_left_out_whole() -> None:
    # 0 to 4 counts, 4 to 15 (11 minutes) does not, from 15 on six more minutes are needed.
    events = events_of(position(0, 1, 1.5), *others(4, 15, 20, 25), missing=(10,))

    assert brief(events) == [("appeared", 0), ("missing", 21)]


def test_a_silence_of_exactly_ten_minutes_counts() -> None:
    assert brief(events_of(position(0, 1, 1.5), *others(10), missing=(10,)))[1:] == [("missing", 10)]


def test_the_source_ends_with_its_last_hearing() -> None:
    assert brief(events_of(position(0, 1, 1.5), *others(4, 8, 9.99), missing=(10,)))[1:] == []


def test_a_vessel_heard_at_the_very_moment_is_not_missing() -> None:
    events = events_of(position(0, 1, 1.5), *others(5), position(10, 1, 1.5), missing=(10,))

    assert brief(events) == [("appeared", 0)]


def test_a_vessel_alone_on_its_feed_is_missing_between_its_own_messages() -> None:
    events = events_of(position(0, 1, 1.5), position(8, 1, 1.5), missing=(5,))

    assert brief(events) == [("appeared", 0), ("missing", 5), ("resumed", 8)]
    assert events[2]["duration_seconds"] == 480.0


def test_a_vessel_that_is_heard_without_a_position_is_not_missing() -> None:
    events = events_of(position(0, 1, 1.5), static(6), position(12, 181, 91), *others(9, 15, 18), missing=(10,))

    assert brief(events) == [("appeared", 0)]


def test_a_vessel_that_was_outside_is_not_missing() -> None:
    assert events_of(position(0, 1, 0.5), *others(5, 10, 15), missing=(10,)) == []


def test_each_duration_is_missing_once_and_resumed_once() -> None:
    events = events_of(position(0, 1, 1.05), *others(5, 10, 15, 20), position(25, 1, 0.95), missing=(10, 15))

    assert brief(events) == [
        ("appeared", 0),
        ("missing", 10),
        ("missing", 15),
        ("exited", 25),
        ("resumed", 25),
    ]
    assert [e["duration_seconds"] for e in events] == [None, 600.0, 900.0, None, 1500.0]


def test_of_several_gaps_between_two_positions_only_the_last_is_resumed() -> None:
    events = events_of(position(0, 1, 1.5), *others(6), static(12), *others(18), position(24, 1, 1.5), missing=(10,))

    assert brief(events) == [("appeared", 0), ("missing", 10), ("missing", 22), ("resumed", 24)]
    assert events[-1]["duration_seconds"] == 12 * 60


def test_a_last_gap_without_a_missing_leaves_the_one_before_to_be_resumed() -> None:
    events = events_of(position(0, 1, 1.5), *others(6), static(12), position(13, 1, 1.5), missing=(10,))

    assert brief(events) == [("appeared", 0), ("missing", 10), ("resumed", 13)]
    assert events[-1]["duration_seconds"] == 13 * 60


def test_a_suspect_does_not_resume_until_it_is_confirmed() -> None:
    # The suspect at 12 is held over a second gap and confirmed at 24: it ends the first gap, 24 the second.
    events = events_of(
        position(0, 1, 1.5),
        *others(6),
        position(12, 1, 4.5),
        *others(18),
        position(24, 1, 4.5),
        missing=(10,),
    )

    assert brief(events) == [
        ("appeared", 0),
        ("missing", 10),
        ("exited", 12),
        ("resumed", 12),
        ("missing", 22),
        ("resumed", 24),
    ]
    assert [e["lat"] for e in events] == [1.5, 1.5, 4.5, 4.5, 1.5, 4.5]


def test_alive_time_is_that_of_the_feed_which_heard_the_vessel_last() -> None:
    first = list(read_nmea(text(position(0, 1, 1.5), *others(3)), 0))
    second = list(read_nmea(text(*others(6, 9, 12, 15)), 1))
    second_hears_it = list(read_nmea(text(position(1, 1, 1.5), *others(6, 9, 12, 15)), 1))
    durations = {"box": [timedelta(minutes=10)]}

    silent = evaluate([*first, *second], {"box": BOX}, durations)
    alive = evaluate(sorted([*first, *second_hears_it], key=lambda report: report.time), {"box": BOX}, durations)

    assert brief(silent) == [("appeared", 0)]
    assert brief(alive) == [("appeared", 0), ("missing", 11)]


def test_repeats_apply_across_feeds_and_are_hearings() -> None:
    once = text(position(0, 1, 1.5))
    again = text(position(0.5, 1, 1.5, second=0), *others(5, 10))

    events = evaluate([*read_nmea(once, 0), *read_nmea(again, 1)], {"box": BOX}, {"box": [timedelta(minutes=9)]})

    assert brief(events) == [("appeared", 0), ("missing", 9.5)]


def test_the_moment_is_exact_to_the_microsecond() -> None:
    reports = [Report(time, mmsi, 0, (1.0, 1.5), None) for time, mmsi in ((3, 1), (1_000_004, 2), (9_000_000, 2))]

    events = evaluate(reports, {"box": BOX}, {"box": [timedelta(microseconds=2_000_001)]})

    assert [microseconds(e["occurred_at"]) for e in events if e["kind"] == "missing"] == [
        2_000_004,
        3_000_005,
    ]


def test_the_alive_clock_is_the_plain_sum_of_stretches() -> None:
    dice = random.Random(7)
    for _ in range(300):
        hearings = sorted(dice.randrange(200) for _ in range(dice.randrange(1, 25)))
        since, duration = dice.choice(hearings), dice.randrange(1, 60)

        reached = AliveClock(hearings, 10).reaches(duration, since=since)

        assert reached == by_walking(hearings, since, duration)


def by_walking(hearings: list[int], since: int, duration: int) -> int | None:
    """The same, one stretch after another."""
    alive = 0
    for before, after in pairwise(hearings):
        if before < since or after - before > 10:
            continue
        if alive + after - before >= duration:
            return before + duration - alive
        alive += after - before
    return None


# --- the Pacific ---


def test_a_vessel_that_crosses_180_inside_an_area_raises_nothing() -> None:
    across = {
        "type": "Polygon",
        "coordinates": [[[178, -20], [182, -20], [182, -16], [178, -16], [178, -20]]],
    }
    places = [(179.9, -18.0), (179.99, -18.0), (180.0, -18.0), (-180.0, -18.0), (-179.99, -18.0)]

    events = events_of(*line_of_positions(places, every=20), box=across)

    assert brief(events) == [("appeared", 0)]


def test_a_step_across_180_is_short_and_not_a_jump() -> None:
    east_of_180 = {
        "type": "Polygon",
        "coordinates": [[[-180, -20], [-178, -20], [-178, -16], [-180, -16], [-180, -20]]],
    }

    events = events_of(position(0, 179.99, -18), position(3, -179.99, -18), box=east_of_180)

    assert [(kind, round(when)) for kind, when in brief(events)] == [("entered", 3)]


def test_exactly_180_belongs_to_the_areas_on_both_sides() -> None:
    east_of_180 = {
        "type": "Polygon",
        "coordinates": [[[180, -20], [182, -20], [182, -16], [180, -16], [180, -20]]],
    }
    west_of_180 = {
        "type": "Polygon",
        "coordinates": [[[178, -20], [180, -20], [180, -16], [178, -16], [178, -20]]],
    }

    for lon in (180, -180):
        reports = list(read_nmea(text(position(0, lon, -18)), 0))

        assert len(evaluate(reports, {"east": east_of_180, "west": west_of_180})) == 2
