"""Limits of memory that the kernel enforces."""

from __future__ import annotations

import signal
import subprocess

import pytest

from alerting.gameday.drill import CannotBePlayed
from alerting.gameday.memory import limited_memory

LIMIT = 50 * 2**20


def test_who_takes_more_than_the_limit_is_killed_and_counted() -> None:
    try:
        with limited_memory(LIMIT) as memory:
            hoarder = subprocess.run(["tail", "/dev/zero"], preexec_fn=memory.enter, check=False)

            assert hoarder.returncode == -signal.SIGKILL
            assert memory.kills() == 1
    except CannotBePlayed as fault:
        pytest.skip(str(fault))
