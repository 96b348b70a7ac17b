"""Tests of how children are kept running and stopped: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from demo.processes import Child, stop_all, worth_showing

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-u",
    "-c",
    "import signal, time; signal.signal(15, lambda *_: 0); print('on'); time.sleep(600)",
]


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    """A zombie is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def child_of(command: list[str], tmp_path: Path, said: list[str]) -> Child:
    return Child("part", command, os.environ, tmp_path / "logs" / "part.log", said.append)


def test_a_child_that_dies_is_started_again_with_a_line_that_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    child = child_of(SLEEP, tmp_path, said)
    child.start()
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    child.process.wait()

    child.look_after(time.monotonic())
    child.look_after(time.monotonic() + 100)

    assert said == ["part ended (killed by SIGKILL); it starts again in 2 s"]
    assert child.runs()
    assert child.process.pid != first
    child.kill()


def test_a_child_that_keeps_dying_waits_longer_each_time(tmp_path: Path) -> None:
    said: list[str] = []
    child = child_of([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, said)
    now = time.monotonic()
    for _ in range(3):
        child.start()
        assert child.process is not None
        child.process.wait()
        child.look_after(now)

    assert [line.rpartition(" in ")[2] for line in said] == ["2 s", "4 s", "8 s"]


def test_all_children_end_on_request(tmp_path: Path) -> None:
    children = [child_of(SLEEP, tmp_path, []) for _ in range(3)]
    for child in children:
        child.start()

    late = stop_all(children, 5.0, lambda: False)

    assert late == []
    assert not any(child.runs() for child in children)


def test_a_child_that_does_not_end_is_killed_at_the_deadline_or_when_forced(tmp_path: Path) -> None:
    for seconds, forced in ((0.3, False), (60.0, True)):
        said: list[str] = []
        child = child_of(STUBBORN, tmp_path, said)
        child.start()
        assert wait_for(lambda said=said: said == ["part | on"])  # type: ignore[misc]

        late = stop_all([child], seconds, lambda forced=forced: forced)  # type: ignore[misc]

        assert late == ["part"]
        assert not child.runs()


def test_a_killed_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from pathlib import Path; from demo.processes import Child\n"
        f"child = Child('part', {SLEEP!r}, os.environ, Path({str(tmp_path / 'log')!r}), print)\n"
        "child.start(); print(child.process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert alive(pid)

        supervisor.kill()

        assert wait_for(lambda: not alive(pid))


def test_the_screen_shows_warnings_and_the_log_everything(tmp_path: Path) -> None:
    said: list[str] = []
    lines = ['{"level": "info", "event": "cycle"}', '{"level": "error", "event": "broken", "part": 1}', "Traceback"]
    child = child_of([sys.executable, "-c", f"print({chr(10).join(lines)!r})"], tmp_path, said)

    child.start()

    assert wait_for(lambda: len(said) == 2)
    assert said == ["part | error: broken part=1", "part | Traceback"]
    assert (tmp_path / "logs" / "part.log").read_text().splitlines() == lines


def test_a_line_that_only_looks_like_a_log_line_is_shown() -> None:
    assert worth_showing("{oops") == "{oops"
    assert worth_showing('{"level": "info"}') == ""
