"""Tests of addresses of throw-away databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.stage.databases import named, process_environment


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me@/here?host=/tmp&port=1", "postgresql://me@/there?host=/tmp&port=1"),
        ("postgresql://me:secret@db.example:5432/here", "postgresql://me:secret@db.example:5432/there"),
    ],
)
def test_another_database_of_the_same_server(url: str, expected: str) -> None:
    assert named(url, "there") == expected


def test_children_are_not_led_to_the_parents_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q_CLUSTER_NAME", "realtime")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/somewhere")

    environment = process_environment("postgresql:///x", var=Path("/var/x"))

    assert "Q_CLUSTER_NAME" not in environment
    assert "PROMETHEUS_MULTIPROC_DIR" not in environment
    assert environment["DATABASE_URL"] == "postgresql:///x"
