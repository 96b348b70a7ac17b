"""Tests of how benchmarks are measured and kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import benchmarks.__main__
from benchmarks.frame import Case, measure, measure_all, row


def test_ours_and_the_peer_take_turns_and_medians_count() -> None:
    order: list[str] = []
    values = {"ours": iter([1.0, 9.0, 2.0]), "peer": iter([4.0, 4.0, 100.0])}

    def run(side: str) -> float:
        order.append(side)
        return next(values[side])

    result = measure("b", Case("c", "s", lambda: run("ours"), "them", lambda: run("peer"), rounds=3))

    assert order == ["ours", "peer"] * 3
    assert (result.ours, result.peer_value, result.ratio, result.spread) == (2.0, 4.0, 0.5, 4.0)
    assert result.peer_spread == 24.0


def test_a_case_without_a_peer_is_measured_alone() -> None:
    result = measure("b", Case("c", "rows/s", lambda: 5.0))

    assert (result.peer, result.peer_value, result.ratio, result.spread) == ("", None, None, 0.0)
    assert "rows/s" in row(result)


def test_each_case_is_one_line_of_json(tmp_path: Path) -> None:
    record = tmp_path / "var" / "bench.jsonl"

    list(measure_all("b", [Case("one", "s", lambda: 1.0), Case("two", "s", lambda: 2.0)], record))

    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["case"] for line in lines] == ["one", "two"]
    assert set(lines[0]) == {
        "bench", "case", "unit", "ours", "peer", "peer_value", "ratio", "spread", "peer_spread", "most"
    }  # fmt: skip


@pytest.mark.parametrize(("value", "broken"), [(0.0, False), (1.0, True)])
def test_a_promise_that_is_broken_is_seen(value: float, broken: bool) -> None:
    result = measure("b", Case("lost", "messages", lambda: value, most=0))

    assert result.broken is broken
    assert ("BROKEN: 0 at most" in row(result)) is broken


def test_a_bench_that_breaks_a_promise_ends_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(benchmarks.__main__, "RECORD", tmp_path / "bench.jsonl")
    found = {"value": 0.0}
    case = Case("lost", "messages", lambda: found["value"], most=0)
    monkeypatch.setattr("benchmarks.guard.cases", lambda: [case])

    kept = benchmarks.__main__.main(["guard"])
    found["value"] = 1.0

    assert (kept, benchmarks.__main__.main(["guard"])) == (0, 1)
