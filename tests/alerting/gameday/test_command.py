"""`manage.py gameday`: what it takes, what it prints and its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from alerting.gameday.drill import Drill
from alerting.gameday.drills import DRILLS
from alerting.gameday.runner import GameDay
from alerting.gameday.verdict import Promise, Verdict


def test_the_list_names_each_drill_with_its_promise() -> None:
    output = StringIO()

    call_command("gameday", "--list", stdout=output)

    told = output.getvalue()
    assert all(name in told and one.promise in told for name, one in DRILLS.items())
    assert all(one.promise for one in DRILLS.values())


def test_an_unknown_drill_is_named() -> None:
    with pytest.raises(CommandError, match="no drill 'smtp-up'"):
        call_command("gameday", "smtp-up")


def test_watching_takes_one_drill() -> None:
    with pytest.raises(CommandError, match="one drill"):
        call_command("gameday", "--watch")


def test_the_page_for_operators_tells_of_every_drill() -> None:
    page = (Path(settings.BASE_DIR) / "docs" / "gameday.md").read_text(encoding="utf-8")

    rows = {name: f"| `{name}` | {one.broke} | {one.promise} |" for name, one in DRILLS.items()}
    assert [name for name, row in rows.items() if row not in page] == []


@pytest.fixture
def sigterm() -> Iterator[None]:
    """The command takes it over, for the process that it has to itself."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def ends_with(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> tuple[object, str]:
    """The exit code and the table of a game day whose drills come to this."""
    come = {one.drill: one for one in verdicts}

    def play(_day: GameDay, drill: Drill, **_named: object) -> Verdict:
        return come[drill.name]

    monkeypatch.setattr(GameDay, "play", play)
    output = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("gameday", *come, stdout=output, stderr=StringIO())
    return left.value.code, output.getvalue()


KEPT = Verdict(drill="flood", broke="a flood", promises=[Promise("none is lost", True)])
BROKEN = Verdict(drill="nil-vessel", broke="no vessel", promises=[Promise("none is repeated", False, "3")])
SKIPPED = Verdict(drill="worker-out-of-memory", broke="memory", skipped="no control group can be made")


@pytest.mark.usefixtures("sigterm")
def test_one_broken_promise_of_one_drill_makes_the_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    code, told = ends_with(monkeypatch, KEPT, BROKEN)

    assert code == 1
    assert "nil-vessel: BROKEN: none is repeated (seen: 3)" in told


@pytest.mark.usefixtures("sigterm")
def test_a_skipped_drill_has_a_row_that_says_why_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    code, told = ends_with(monkeypatch, KEPT, SKIPPED)

    assert code == 0
    row = next(line for line in told.splitlines() if line.startswith("worker-out-of-memory"))
    assert row.endswith("skipped: no control group can be made")
    assert "kept" not in row


@pytest.mark.slow
def test_a_real_drill_that_breaks_ends_the_command_with_1(tmp_path: Path) -> None:
    """The product is broken from outside: every process of the game day begins by importing this."""
    (tmp_path / "sitecustomize.py").write_text(
        "import smtplib\nsmtplib.SMTP.connect = lambda *args, **named: (554, b'nobody is served here')\n"
    )
    environment = os.environ | {"DATABASE_URL": settings.DATABASE_URL, "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "manage.py", "gameday", "nil-vessel"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert "nil-vessel: BROKEN: all others are delivered" in done.stdout
