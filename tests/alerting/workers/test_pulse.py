"""Signs of life inside a deployment, without one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

from alerting.workers.pulse import Pulse, Stillness
from tests.alerting.workers.conftest import wait_until


def test_what_does_not_change_stands_still_since_the_last_change() -> None:
    values = iter([1, 1, 1, 2, 2])
    stillness = Stillness(lambda: next(values), now=0.0)

    assert [stillness.seconds(now) for now in (0.5, 1.0, 1.5, 2.0)] == [0.5, 1.0, 0.0, 0.5]


def test_a_pause_of_the_whole_machine_is_no_stillness() -> None:
    stillness = Stillness(lambda: 1, now=0.0)
    stillness.seconds(0.5)

    assert stillness.seconds(3600.0) == 1.5


def test_a_process_that_is_stopped_has_no_pulse_until_it_goes_on() -> None:
    pulse = Pulse()
    process = multiprocessing.get_context("fork").Process(target=_idle, args=(pulse,), daemon=True)
    process.start()
    assert wait_until(lambda: pulse.beats() > 1, 10)

    os.kill(process.pid or 0, signal.SIGSTOP)
    time.sleep(0.1)
    stopped = pulse.beats()
    time.sleep(1.5)
    after = pulse.beats()
    os.kill(process.pid or 0, signal.SIGCONT)
    goes_on = wait_until(lambda: pulse.beats() > after, 10)
    process.kill()

    assert after == stopped
    assert goes_on


def _idle(pulse: Pulse) -> None:
    pulse.begin()
    time.sleep(60)
