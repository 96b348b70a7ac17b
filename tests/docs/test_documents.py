"""The documents agree with the code: links resolve, commands and targets exist, generated pages are current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from alerting.export import Selection, event_rows, notification_rows
from alerting.setup.document import read_document
from alerting.setup.schema_page import PAGE, schema_page
from config.environment import BASE_DIR, Environment
from vessels.feeds import rejections

DOCUMENTS = [BASE_DIR / "README.md", BASE_DIR / "CHANGELOG.md", *sorted((BASE_DIR / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)")
PATH = re.compile(
    r"`((?:alerting|vessels|accounts|resilience|config|tests|demo|benchmarks|templates|static)/[\w./-]*)`"
)

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


@each_document
def test_every_relative_link_resolves(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))

    assert [link for link in links if not (document.parent / link).exists()] == []


@each_document
def test_every_path_named_exists(document: Path) -> None:
    paths = PATH.findall(document.read_text(encoding="utf-8"))

    assert [path for path in paths if not (BASE_DIR / path).exists()] == []


@each_document
def test_every_make_target_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (BASE_DIR / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^|&& |=\d+ )make ([a-z]+)", document.read_text(encoding="utf-8"), re.MULTILINE))

    assert named - targets == set()


@each_document
def test_every_management_command_named_exists(document: Path) -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", document.read_text(encoding="utf-8")))

    assert named - set(get_commands()) == set()


@each_document
def test_every_environment_variable_named_is_a_setting(document: Path) -> None:
    known = {name.upper() for name in Environment.model_fields}
    assigned = set(re.findall(r"^([A-Z_]{4,})=", document.read_text(encoding="utf-8"), re.MULTILINE))

    assert assigned - known == set()


def test_the_schema_of_setup_files_is_current() -> None:
    """Make it again with `python -m alerting.setup.schema_page`."""
    assert PAGE.read_text(encoding="utf-8") == schema_page()


def test_the_example_of_a_setup_file_is_accepted(tmp_path: Path) -> None:
    page = (BASE_DIR / "docs" / "setup.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "setup.yaml"
    file.write_text(example, encoding="utf-8")

    setup = read_document(file).setup

    assert len(setup.rules) == 2


def test_every_kind_of_rejection_is_explained() -> None:
    page = (BASE_DIR / "docs" / "feeds.md").read_text(encoding="utf-8")
    kinds = [value for name, value in vars(rejections).items() if name.isupper() and isinstance(value, str)]

    assert [kind for kind in kinds if f"`{kind}" not in page] == []


@pytest.mark.django_db
def test_every_exported_column_is_explained() -> None:
    from tests.alerting.world import World  # needs the models

    page = (BASE_DIR / "docs" / "setup.md").read_text(encoding="utf-8")
    world = World()
    world.make_event()

    (event,) = event_rows(Selection())
    assert list(notification_rows(Selection())) == []
    assert [column for column in event if f"`{column}`" not in page] == []
