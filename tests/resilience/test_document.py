"""Every example of docs/resilience.md runs, and what the page says of names and defaults is so."""

from __future__ import annotations

import dataclasses
import re

import pytest

from resilience.guard_metrics import COUNTERS
from resilience.policy import Policy
from resilience.reports import PROJECT

PAGE = (PROJECT / "docs" / "resilience.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PIECES = (
    "resilience.guard",
    "resilience.guard_metrics",
    "resilience.observers",
    "resilience.breakers.breaker",
    "resilience.breakers.group",
    "resilience.shutdown",
    "resilience.incidents",
    "resilience.heartbeats",
    "resilience.ledger.book",
)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.strip().splitlines()[-1][:40])
def test_each_example_runs(example: str) -> None:
    exec(compile(example, "docs/resilience.md", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("piece", PIECES)
def test_there_is_an_example_of_every_piece(piece: str) -> None:
    imported = f"from {piece} import "

    assert [example for example in EXAMPLES if imported in example] != []


def test_every_counter_and_every_part_of_the_policy_is_explained() -> None:
    names = [f"{name}_total" for name in COUNTERS] + [field.name for field in dataclasses.fields(Policy)]

    assert [name for name in names if f"`{name}`" not in PAGE] == []
