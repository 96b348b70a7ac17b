"""What a drill found: promises kept or broken, and the figures of its row in the table. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

HEARD_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that must hold. `seen`: what was there instead, or the figure that shows it."""

    text: str
    kept: bool
    seen: str = ""

    def line(self) -> str:
        seen = f" (seen: {self.seen})" if self.seen else ""
        return f"{'kept' if self.kept else 'BROKEN'}: {self.text}{seen}"


@dataclass(slots=True, kw_only=True)
class Verdict:
    """The result of one drill."""

    drill: str
    broke: str
    promises: list[Promise] = field(default_factory=list)
    others: int = 0  # notifications that the outage was none of
    others_delivered: int = 0
    lost: int = 0
    repeated: int = 0
    slack_seconds: float | None = None  # from the fault to the first incident in Slack; None: nothing was to be heard
    seconds: float = 0.0
    skipped: str = ""  # why it could not be run here

    @property
    def kept(self) -> bool:
        """A drill that was skipped, or checked nothing, has kept nothing."""
        return not self.skipped and bool(self.promises) and all(one.kept for one in self.promises)

    @property
    def failed(self) -> bool:
        return not self.skipped and not self.kept

    @property
    def word(self) -> str:
        if self.skipped:
            return "skipped"
        return "kept" if self.kept else "BROKEN"

    @property
    def broken(self) -> list[Promise]:
        return [one for one in self.promises if not one.kept]

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def verdict_from_json(text: str) -> Verdict:
    found = json.loads(text)
    promises = [Promise(**one) for one in found.pop("promises")]
    return Verdict(promises=promises, **found)


HEAD = ("drill", "what broke", "others delivered", "lost", "repeated", "Slack heard after", "verdict")


def table(verdicts: Sequence[Verdict]) -> str:
    """All rows, their columns under each other."""
    rows = [HEAD, *(cells(one) for one in verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(_line(row, widths) for row in rows)


def cells(verdict: Verdict) -> tuple[str, ...]:
    """One row of the table."""
    if verdict.skipped:
        return (verdict.drill, verdict.broke, "–", "–", "–", "–", f"{verdict.word}: {verdict.skipped}")
    heard = "–" if verdict.slack_seconds is None else f"{verdict.slack_seconds:.1f} s"
    return (
        verdict.drill,
        verdict.broke,
        f"{verdict.others_delivered} of {verdict.others}",
        str(verdict.lost),
        str(verdict.repeated),
        heard,
        verdict.word if verdict.kept else f"{verdict.word}: {_first_broken(verdict)}",
    )


def _first_broken(verdict: Verdict) -> str:
    return verdict.broken[0].text if verdict.broken else "it checked nothing"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
