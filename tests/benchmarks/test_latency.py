"""Tests of the figures of latency."""

from __future__ import annotations

import pytest

from benchmarks.latency import PER_SECOND, paced, percentile


def test_percentiles_are_told_in_milliseconds() -> None:
    seconds = [number / 1000 for number in range(101)]

    assert percentile(seconds, 50) == pytest.approx(50)
    assert percentile(seconds, 99) == pytest.approx(99)


def test_a_late_number_does_not_push_back_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [0.0], []
    monkeypatch.setattr("benchmarks.latency.time.monotonic", lambda: now[0])

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("benchmarks.latency.time.sleep", sleep)
    for number in paced(4):
        if number == 1:
            now[0] += 2.5 / PER_SECOND

    assert slept == pytest.approx([0.0, 1 / PER_SECOND, 0.0, 0.0])
