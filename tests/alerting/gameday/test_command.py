"""`manage.py gameday`, as far as it needs no drill."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from alerting.gameday.drills import DRILLS


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

    assert [name for name in DRILLS if f"| `{name}` |" not in page] == []
