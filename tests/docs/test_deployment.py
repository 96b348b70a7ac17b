"""What `compose.yaml` and the systemd units run exists, takes these arguments, and reads these settings."""

from __future__ import annotations

import configparser
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from ruamel.yaml import YAML

from alerting.workers.names import DEPLOYMENTS
from config.environment import BASE_DIR, Environment

UNITS = sorted((BASE_DIR / "deploy" / "systemd").glob("*.service"))
COMPOSE: dict[str, Any] = YAML(typ="safe").load((BASE_DIR / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "watchkeeper"}
SETTINGS = {name.upper() for name in Environment.model_fields}


def resolve(words: list[str]) -> None:
    """Fails unless the command exists and takes these arguments. Nothing is run."""
    program = Path(words[0]).name
    if program == "gunicorn":
        assert importlib.util.find_spec("gunicorn")
        assert importlib.util.find_spec(words[-1])
        return
    assert (program, words[1]) == ("python", "manage.py")
    command = load_command_class(get_commands()[words[2]], words[2])
    command.create_parser("manage.py", words[2]).parse_args(words[3:])


@pytest.mark.parametrize("name", OURS)
def test_every_command_of_compose_exists(name: str) -> None:
    resolve(OURS[name].get("command") or ["gunicorn", "config.wsgi"])


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_compose_is_a_setting(name: str) -> None:
    assert set(OURS[name]["environment"]) - SETTINGS == set()


def test_compose_runs_senders_twice_and_each_probe_asks_for_its_own() -> None:
    workers = {name: service for name, service in OURS.items() if service.get("command", [])[2:3] == ["worker"]}
    kinds = [service["command"][3] for service in workers.values()]

    assert sorted(kinds) == ["digest", "digest", "housekeeping", "realtime", "realtime"]
    assert len({service["hostname"] for service in workers.values()}) == len(workers)
    for service in workers.values():
        assert service["healthcheck"]["test"] == ["CMD", *service["command"], "--check"]
        resolve(service["healthcheck"]["test"][1:])


def test_a_stop_has_time_for_what_is_on_the_wire() -> None:
    longest = Environment.model_fields["send_deadline_seconds"].default + 18

    assert all(int(service["stop_grace_period"].removesuffix("s")) > longest for service in OURS.values())
    assert int(unit("watchkeeper-worker@.service")["Service"]["TimeoutStopSec"]) > longest


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_every_command_of_a_unit_exists(path: Path) -> None:
    service = unit(path.name)["Service"]
    for deployment in DEPLOYMENTS if "@" in path.name else [""]:
        resolve(shlex.split(service["ExecStart"].replace("%i", deployment)))

    assert service["WorkingDirectory"] == "/opt/watchkeeper"
    assert service.get("Type") == "oneshot" or service["Restart"] == "always"


def test_the_page_s_own_command_of_a_second_deployment_exists() -> None:
    page = (BASE_DIR / "docs" / "deployment.md").read_text(encoding="utf-8")
    commands = re.findall(r"^ExecStart=(.+)$", page, re.MULTILINE)

    assert commands
    for command in commands:
        resolve(shlex.split(command))


def test_workers_are_stopped_by_their_main_process_and_watched() -> None:
    service = unit("watchkeeper-worker@.service")["Service"]

    assert (service["KillMode"], service["Type"], service["WatchdogSec"]) == ("mixed", "notify", "30")


def test_the_page_shows_every_unit() -> None:
    page = (BASE_DIR / "docs" / "deployment.md").read_text(encoding="utf-8")

    assert [path.name for path in UNITS if path.name not in page] == []


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(BASE_DIR / "deploy" / "systemd" / name, encoding="utf-8")
    return parser
