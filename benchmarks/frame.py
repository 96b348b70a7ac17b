"""How everything is measured: ours and a peer in turns, medians, one table and one line of JSON a case.

A benchmark is a module of this package with a function `cases()` that yields `Case`s. A case's two functions
each do one round and return what they measured, in the case's unit.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROUNDS = 5


@dataclass(frozen=True)
class Case:
    """`ours` is compared with `peer` (none: measured alone), `rounds` times each, interleaved. `most`: what ours may be
    at most, by a promise."""

    case: str
    unit: str
    ours: Callable[[], float]
    peer: str = ""
    run_peer: Callable[[], float] | None = None
    rounds: int = ROUNDS
    most: float | None = None


@dataclass(frozen=True)
class Result:
    """One line of `var/bench.jsonl`. `spread` is (highest − lowest) / median of our rounds, `peer_spread` of theirs."""

    bench: str
    case: str
    unit: str
    ours: float
    peer: str
    peer_value: float | None
    ratio: float | None
    spread: float
    peer_spread: float | None
    most: float | None

    @property
    def broken(self) -> bool:
        """Whether the promise was."""
        return self.most is not None and self.ours > self.most


def measure(bench: str, case: Case) -> Result:
    """Interleaved rounds, so that a noisy minute hits both sides."""
    ours: list[float] = []
    peers: list[float] = []
    for _ in range(case.rounds):
        ours.append(case.ours())
        if case.run_peer is not None:
            peers.append(case.run_peer())
    mine = statistics.median(ours)
    other = statistics.median(peers) if peers else None
    return Result(
        bench=bench,
        case=case.case,
        unit=case.unit,
        ours=mine,
        peer=case.peer,
        peer_value=other,
        ratio=mine / other if other else None,
        spread=_spread(ours),
        peer_spread=_spread(peers) if peers else None,
        most=case.most,
    )


def _spread(measured: Sequence[float]) -> float:
    middle = statistics.median(measured)
    return (max(measured) - min(measured)) / middle if middle else 0.0


def measure_all(bench: str, cases: Iterable[Case], record: Path) -> Iterator[Result]:
    """Measures each case and appends it to `record` at once, so that an interrupted run keeps what it has."""
    record.parent.mkdir(parents=True, exist_ok=True)
    for case in cases:
        result = measure(bench, case)
        with record.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
        yield result


HEADER = (
    f"{'bench':<14} {'case':<34} {'unit':<10} {'ours':>12} {'spread':>7} {'peer':>12} {'spread':>7} {'ratio':>7}"
    "  peer's name"
)


def row(result: Result) -> str:
    """One line of the table for people."""
    peer = "" if result.peer_value is None else _figure(result.peer_value)
    peer_spread = "" if result.peer_spread is None else f"{result.peer_spread:.0%}"
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
    broken = f"  BROKEN: {_figure(result.most)} at most" if result.broken and result.most is not None else ""
    return (
        f"{result.bench:<14} {result.case:<34} {result.unit:<10} {_figure(result.ours):>12} {result.spread:>7.0%} "
        f"{peer:>12} {peer_spread:>7} {ratio:>7}  {result.peer}{broken}"
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
