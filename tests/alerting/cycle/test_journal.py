"""What is kept of accepted messages where a process that is killed leaves it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from alerting.cycle import journal as journal_module
from alerting.cycle.journal import Accepted, Journal, Page, journal_taken, journals_in, worker_of
from alerting.cycle.tried import Tried
from resilience.models import Incident
from tests.alerting.cycle.test_run import incident_kinds

NOW = datetime(2026, 7, 1, 8, 30, 15, 123456, tzinfo=UTC)
TOKEN = uuid4()


def accepted(message: int, answer: str = "250 2.0.0 Ok") -> Accepted:
    return Accepted(message, TOKEN, Tried(NOW, NOW + timedelta(milliseconds=21), answer))


def left_in(folder: Path) -> list[Accepted]:
    """All that can be read, journal by journal; they are gone afterwards."""
    found: list[Accepted] = []
    for path in journals_in(folder):
        with journal_taken(path) as left:
            found += left or []
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journals", "host:7:run", pages=2)
    yield made
    made.leave()


def page_of(journal: Journal) -> Page:
    return next(journal.pages())


def test_each_cycle_makes_it_young_again(journal: Journal, tmp_path: Path) -> None:
    """Writes to a mapped file are seen by not all file systems, and an old journal is waited for by nobody."""
    page_of(journal)
    (path,) = journals_in(tmp_path / "journals")
    os.utime(path, (0, 0))

    page_of(journal)

    assert path.stat().st_mtime > 0


def test_each_connection_keeps_its_last_two(journal: Journal, tmp_path: Path) -> None:
    first, second = journal.pages()

    for message in (1, 2, 3):
        first.keep(accepted(message))
    second.keep(accepted(9, "250 angenommen für Zoë"))
    journal.leave()

    assert sorted(left_in(tmp_path / "journals"), key=lambda one: one.message_id) == [
        accepted(2),
        accepted(3),
        accepted(9, "250 angenommen für Zoë"),
    ]


def test_a_journal_that_is_held_is_nobody_elses(journal: Journal, tmp_path: Path) -> None:
    page_of(journal).keep(accepted(1))

    (path,) = journals_in(tmp_path / "journals")
    with journal_taken(path) as left:
        assert left is None

    assert path.exists()
    assert worker_of(path) == "host:7:run"


def test_what_was_read_is_removed_unless_it_could_not_be_recorded(journal: Journal, tmp_path: Path) -> None:
    page_of(journal).keep(accepted(1))
    journal.leave()
    (path,) = journals_in(tmp_path / "journals")

    with pytest.raises(RuntimeError), journal_taken(path):
        raise RuntimeError("the database is away")

    assert left_in(tmp_path / "journals") == [accepted(1)]
    assert not path.exists()


def test_after_one_is_left_another_is_begun(journal: Journal, tmp_path: Path) -> None:
    page_of(journal).keep(accepted(1))
    journal.leave()
    page_of(journal).keep(accepted(2))

    assert left_in(tmp_path / "journals") == [accepted(1)]  # the other is held


def test_one_that_somebody_removed_is_begun_anew(journal: Journal, tmp_path: Path) -> None:
    page_of(journal)
    journals_in(tmp_path / "journals")[0].unlink()

    page_of(journal).keep(accepted(1))
    journal.leave()

    assert left_in(tmp_path / "journals") == [accepted(1)]


def test_one_that_a_reader_took_as_it_was_made_is_made_again(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its making and its lock it looks like one that was left behind."""
    folder, real, taken = tmp_path / "journals", journal_module.lock_taken, list[Path]()

    def late(file: int) -> bool:
        if not taken:
            taken.extend(journals_in(folder))
            with journal_taken(taken[0]):
                pass  # as a reader that found nothing in it
        return real(file)

    monkeypatch.setattr(journal_module, "lock_taken", late)
    pages = list(journal.pages())

    [held] = journals_in(folder)
    assert len(pages) == 2
    assert [held] != taken
    with journal_taken(held) as left:
        assert left is None  # its worker's


def test_a_page_of_a_journal_that_was_left_harms_nothing(journal: Journal, tmp_path: Path) -> None:
    page = page_of(journal)
    journal.leave()
    page_of(journal)

    page.keep(accepted(1))  # by a thread that hung

    assert left_in(tmp_path / "journals") == [accepted(1)]


@pytest.mark.parametrize("written", [bytes(8), b"short", b"\x01" * 100])
def test_a_write_that_was_cut_off_counts_for_nothing(written: bytes, journal: Journal, tmp_path: Path) -> None:
    page = page_of(journal)
    page.keep(accepted(1))
    page.keep(accepted(2))
    journal.leave()
    (path,) = journals_in(tmp_path / "journals")

    with path.open("r+b") as file:  # over the answer of the first
        file.seek(50)
        file.write(written)

    assert left_in(tmp_path / "journals") == [accepted(2)]


def test_of_a_long_answer_the_beginning_is_kept(journal: Journal, tmp_path: Path) -> None:
    page = page_of(journal)
    page.keep(accepted(1, "250 " + "é" * 2000))
    page.keep(accepted(2))
    journal.leave()

    long, short = left_in(tmp_path / "journals")

    assert long.tried.answer.startswith("250 éé")
    assert len(long.tried.answer) > 200
    assert short == accepted(2)


def test_what_a_killed_process_kept_is_there(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import django, time
        django.setup()
        from pathlib import Path
        from alerting.cycle.journal import Journal
        from tests.alerting.cycle.test_journal import accepted
        page = next(Journal(Path({str(tmp_path)!r}), "host:8:run", pages=1).pages())
        page.keep(accepted(1))
        print("kept", flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        assert left_in(tmp_path) == []  # it lives
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    (left,) = left_in(tmp_path)

    assert (left.message_id, left.tried.answer) == (1, "250 2.0.0 Ok")


@pytest.mark.django_db(transaction=True)
def test_where_no_file_can_be_made_there_are_no_pages_and_operations_hear(tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("in the way")
    journal = Journal(tmp_path / "journals", "host:7:run", pages=2)

    assert list(journal.pages()) == []
    assert incident_kinds() == ["no_journal"]

    (tmp_path / "journals").unlink()
    assert len(list(journal.pages())) == 2
    assert Incident.objects.get().state == "resolved"
    journal.leave()


@pytest.mark.django_db(transaction=True)
def test_where_files_cannot_be_locked_there_are_no_pages_and_nothing_is_held_up(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def flock(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", flock)

    assert list(journal.pages()) == []
    assert list(journal.pages()) == []  # nor in the next cycle
    assert incident_kinds() == ["no_journal"]
    assert journals_in(tmp_path / "journals") == []
