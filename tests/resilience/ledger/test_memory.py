"""The kernel's count of kills, under both versions of cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience.ledger import memory


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroups")
    monkeypatch.setattr(memory, "MACHINE", tmp_path / "vmstat")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def test_version_2_counts_in_the_cgroup_of_the_process(machine: Path) -> None:
    write(machine / "own", "0::/system.slice/worker.service\n")
    write(machine / "cgroups/system.slice/worker.service/memory.events", "low 0\nmax 9\noom 4\noom_kill 3\n")

    assert memory.oom_kills() == 3


def test_inside_a_container_its_cgroup_is_the_root(machine: Path) -> None:
    write(machine / "own", "0::/docker/0123\n")
    write(machine / "cgroups/memory.events", "oom 1\noom_kill 2\noom_group_kill 1\n")

    assert memory.oom_kills() == 2


def test_version_1_counts_in_oom_control(machine: Path) -> None:
    write(machine / "own", "9:name=systemd:/\n4:memory:/docker/0123\n0::/\n")
    write(machine / "cgroups/memory/docker/0123/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")

    assert memory.oom_kills() == 5


def test_outside_of_any_group_the_machine_counts(machine: Path) -> None:
    write(machine / "own", "0::/\n")
    write(machine / "vmstat", "nr_free_pages 1\noom_kill 7\n")

    assert memory.oom_kills() == 7


def test_where_nothing_tells_nothing_is_told(machine: Path) -> None:
    assert memory.oom_kills() is None


def test_another_cgroup_is_read_by_name_until_it_is_made_anew(machine: Path) -> None:
    write(machine / "own", "0::/worker\n")
    write(events := machine / "cgroups/worker/memory.events", "oom_kill 3\n")
    counter = memory.oom_counter()
    write(machine / "own", "0::/elsewhere\n")
    write(machine / "cgroups/elsewhere/memory.events", "oom_kill 9\n")

    write(events, "oom_kill 4\n")
    same = memory.oom_kills_of(counter)
    events.rename(machine / "old")  # its inode stays in use
    gone = memory.oom_kills_of(counter)
    write(events, "oom_kill 8\n")
    anew = memory.oom_kills_of(counter)

    assert (same, gone, anew) == (4, None, None)
    assert memory.oom_kills_of("") is None


def test_each_kill_explains_one_death_and_none_that_comes_much_later(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([5, 7, 7, 7, 8, 8, 8])
    monkeypatch.setattr(memory, "oom_kills", lambda: next(counts))
    unexplained = memory.Unexplained()

    before, two = unexplained.number(now=0), unexplained.number(now=1)
    unexplained.explain_one()
    one = unexplained.number(now=1)
    unexplained.explain_one()
    none = unexplained.number(now=2)
    another, still, long_ago = (unexplained.number(now=at) for at in (3, 7, 8))

    assert (before, two, one, none) == (0, 2, 1, 0)
    assert (another, still, long_ago) == (1, 1, 0)
