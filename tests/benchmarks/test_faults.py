"""Tests of what the fault runs count."""

from __future__ import annotations

from benchmarks.faults import repeats_by_fault
from benchmarks.stage.counting_sink import Taken


def test_a_repeat_belongs_to_the_fault_after_its_first_arrival() -> None:
    taken = [Taken(1.0, "a"), Taken(2.0, "b"), Taken(3.0, "a"), Taken(4.0, "c"), Taken(6.0, "b"), Taken(7.0, "c")]

    repeats = repeats_by_fault(taken, faults_at=[2.5, 5.0])

    assert repeats == {0: 2, 1: 1}


def test_a_repeat_after_the_last_fault_is_not_hidden() -> None:
    repeats = repeats_by_fault([Taken(3.0, "a"), Taken(4.0, "a")], faults_at=[2.5])

    assert repeats == {1: 1}


def test_one_that_two_faults_repeat_counts_once_for_each() -> None:
    repeats = repeats_by_fault([Taken(1.0, "a"), Taken(3.0, "a"), Taken(6.0, "a")], faults_at=[2.5, 5.0])

    assert repeats == {0: 1, 1: 1}
