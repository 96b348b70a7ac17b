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
