"""A process is known by more than its pid."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from resilience.ledger.place import born_at, lives, place_here


def test_this_process_lives_and_one_that_ended_does_not() -> None:
    here = place_here()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    there = place_here(child.pid)

    before = lives(there, here=here)
    child.kill()
    zombie = wait_for_zombie(child.pid) and lives(there, here=here)
    child.communicate()

    assert (lives(here, here=here), before, zombie, lives(there, here=here)) == (True, True, False, False)


def wait_for_zombie(pid: int) -> bool:
    while born_at(pid):
        continue
    return True


def test_a_pid_that_is_used_again_is_another_process() -> None:
    here = place_here()

    assert lives(replace(here, born=here.born - 1), here=here) is False


def test_processes_elsewhere_cannot_be_looked_at() -> None:
    here = place_here()

    assert lives(replace(here, host="elsewhere"), here=here) is None
    assert lives(replace(here, boot_id="another"), here=here) is None
    assert lives(replace(here, pid_namespace=1), here=here) is None


def test_the_start_of_a_process_is_read_past_a_name_with_brackets() -> None:
    assert born_at(os.getpid()) > 0
    assert born_at(2**22 + 1) == 0
