"""Repeats and jumps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.vessels.watch.worlds import report, rows_of
from vessels.quality import Judgement, Repeats, Verdict, are_jumps, judge

A, B = 219000001, 219000002


def nmea(*heard: tuple[float, int, int]) -> Any:
    return rows_of([report(seconds / 60, mmsi, 1, 1, payload=payload) for seconds, mmsi, payload in heard])


def test_the_same_payload_within_a_minute_of_the_first_hearing_is_a_repeat():
    rows = nmea((0, A, 1), (1, B, 1), (59, A, 1), (60, A, 1), (61, A, 1), (120, A, 1))

    assert Repeats().find(rows).tolist() == [False, False, True, True, False, True]


def test_repeats_are_known_across_batches_and_after_ten_minutes_of_lateness():
    repeats = Repeats()
    repeats.find(nmea((0, A, 1)))
    repeats.find(nmea((500, B, 2)))

    assert repeats.find(nmea((30, A, 1))).tolist() == [True]


def test_what_is_too_old_is_forgotten():
    repeats = Repeats()
    repeats.find(nmea((0, A, 1)))
    repeats.find(nmea((3600, B, 2)))

    assert list(repeats.first) == [(B, 2)]


def test_a_row_of_the_same_vessel_and_time_is_a_repeat_whatever_its_place():
    rows = rows_of([report(0, A, 1, 1), report(0, A, 2, 2), report(0, B, 1, 1), report(1, A, 1, 1)])
    rows["message_type"], rows["payload"] = 0, 0

    assert Repeats().find(rows).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("miles", "minutes", "jumps"),
    [(0.49, 0, False), (0.51, 0, True), (59, 60, False), (61, 60, True), (0.4, 0.1, False), (0.6, 0.5, True)],
)
def test_a_jump_is_over_half_a_mile_and_over_sixty_knots(miles: float, minutes: float, jumps: bool):
    p, q = rows_of([report(0, A, 10, 0), report(minutes, A, 10 + miles / 60.1076, 0)]).reshape(2, 1)

    assert are_jumps(p, q).tolist() == [jumps]


def test_a_step_across_180_is_no_jump():
    p, q = rows_of([report(0, A, 179.999, -40), report(1, A, -179.999, -40)]).reshape(2, 1)

    assert are_jumps(p, q).tolist() == [False]


def test_the_next_report_decides_about_a_suspect():
    last, suspect, back, confirming, elsewhere = rows_of(
        [report(0, A, 0, 0), report(1, A, 9, 9), report(2, A, 0, 0), report(2, A, 9, 9), report(2, A, 20, 20)]
    )

    assert judge(None, None, last, live=False) == Judgement(Verdict.ACCEPTED)
    assert judge(last, None, suspect, live=False) == Judgement(Verdict.HELD)
    assert judge(last, suspect, back, live=False) == Judgement(Verdict.ACCEPTED)
    assert judge(last, suspect, confirming, live=False) == Judgement(Verdict.ACCEPTED, with_suspect=True)
    assert judge(last, suspect, elsewhere, live=False) == Judgement(Verdict.HELD)


def test_only_live_is_a_report_of_the_same_time_late():
    last, same = rows_of([report(0, A, 0, 0), report(0, A, 0, 0)])

    assert judge(last, None, same, live=True) == Judgement(Verdict.LATE)
    assert judge(last, None, same, live=False) == Judgement(Verdict.ACCEPTED)
    assert np.isfinite(last["lon"])
