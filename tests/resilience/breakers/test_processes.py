"""Eight processes and one breaker: exactly one probe, and a killed prober holds nobody up for longer than its lease."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from resilience.breakers.models import CircuitBreaker
from resilience.reports import PROJECT

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 8
_PROBER = """
import os, signal, sys, time
from datetime import datetime, timedelta, UTC
import django
from django.conf import settings
django.setup()
settings.DATABASES["default"]["NAME"] = sys.argv[1]
from resilience.breakers.breaker import Breaker, BreakerOpen
breaker = Breaker("shared", lease=timedelta(seconds=float(sys.argv[2])))
try:
    breaker.admit()
except BreakerOpen:
    pass  # connected, and the row was seen
print("ready", flush=True)
sys.stdin.readline()
until = time.monotonic() + float(sys.argv[3])
probes = 0
while time.monotonic() < until:
    try:
        probe = breaker.admit()
    except BreakerOpen:
        time.sleep(0.005)
        continue
    probes += probe is not None
    if probe is not None and sys.argv[4] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
print(probes, flush=True)
"""


class Probers:
    def __init__(self, *, lease: float, seconds: float, then: str) -> None:
        name = str(connection.settings_dict["NAME"])
        self.all = [
            subprocess.Popen(
                [sys.executable, "-c", _PROBER, name, str(lease), str(seconds), then],
                cwd=PROJECT,
                env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]

    def ready(self) -> None:
        assert [self.line(one) for one in self.all] == ["ready"] * PROCESSES

    def go(self) -> None:
        for one in self.all:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()

    def line(self, one: subprocess.Popen[str]) -> str:
        assert one.stdout is not None
        return one.stdout.readline().strip()

    def end(self) -> None:
        for one in self.all:
            one.kill()
            one.communicate()


@pytest.fixture
def probers(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    made: list[Probers] = []

    def make(**options: Any) -> Probers:
        made.append(Probers(**options))
        return made[0]

    yield make
    for one in made:
        one.end()


def open_with_probe_due_later() -> None:
    moment = datetime.now(UTC) + timedelta(minutes=5)
    CircuitBreaker.objects.create(name="shared", state="open", probe_at=moment, changed_at=datetime.now(UTC))


def probe_due_in(seconds: float) -> None:
    CircuitBreaker.objects.update(probe_at=datetime.now(UTC) + timedelta(seconds=seconds))


def test_one_of_eight_processes_gets_the_probe(probers) -> None:  # type: ignore[no-untyped-def]
    open_with_probe_due_later()
    several = probers(lease=60, seconds=1.5, then="hold")
    several.ready()
    probe_due_in(0.3)

    several.go()

    assert sorted(several.line(one) for one in several.all) == ["0"] * (PROCESSES - 1) + ["1"]


def test_a_killed_prober_holds_the_others_up_no_longer_than_its_lease(probers) -> None:  # type: ignore[no-untyped-def]
    open_with_probe_due_later()
    several = probers(lease=1.0, seconds=3.5, then="die")
    several.ready()
    probe_due_in(0)

    several.go()

    said = [several.line(one) for one in several.all]
    killed = said.count("")
    assert 2 <= killed <= 4  # one after the other, a second each
    assert said.count("0") == PROCESSES - killed
