"""What servers accepted and a worker did not live to record."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import DataError, InternalError, OperationalError, connection
from django.utils import timezone

from alerting.cycle import recovery
from alerting.cycle.journal import Accepted, Journal, journals_in, readers_turn
from alerting.cycle.outcomes import row_of, rows_write
from alerting.cycle.queue import Claim, claim, reap
from alerting.cycle.recovery import Recovery, acceptances_recover
from alerting.cycle.tried import Tried
from alerting.models import Attempt, Lease, Message, Notification
from tests.alerting.cycle.conftest import Post
from tests.alerting.cycle.test_run import incident_kinds
from tests.alerting.world import NOW
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def claimed(post: Post) -> tuple[Message, Claim]:
    """An alert in the hands of a worker."""
    message_id = post.alert().message_id
    taken = claim(
        rooms={"realtime:email": 10}, now=post.now, lease=timedelta(minutes=1), worker="host:7:run"
    )  # fmt: skip
    assert taken.message_ids == (message_id,)
    return Message.objects.get(), taken


def leave(folder: Path, *several: Accepted) -> None:
    """As a worker does that was killed after these were accepted."""
    journal = Journal(folder, "host:7:run", pages=len(several))
    for page, accepted in zip(journal.pages(), several, strict=True):
        page.keep(accepted)
    journal.leave()


def accepted(message: Message, taken: Claim) -> Accepted:
    return Accepted(message.pk, taken.token, Tried(NOW, NOW + timedelta(milliseconds=20), "250 Ok"))


def states() -> set[tuple[str, str]]:
    """Of all notifications and their messages."""
    return set(Notification.objects.values_list("state", "message__state"))


def test_a_message_that_was_accepted_is_sent_and_is_not_sent_again(
    post: Post, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    message, taken = claimed(post)
    leave(tmp_path, accepted(message, taken))

    assert acceptances_recover(tmp_path) == Recovery(1)
    reap(now=post.now)
    post.cycle()

    message.refresh_from_db()
    assert states() == {("sent", "sent")}
    assert (message.sent_at, message.deaths, message.attempts_made) == (NOW + timedelta(milliseconds=20), 0, 1)
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.answer, attempt.worker) == ("sent", "250 Ok", "host:7:run")
    assert smtp_server.mails == []
    assert list(journals_in(tmp_path)) == []


def test_what_was_recorded_is_not_recorded_twice(post: Post, smtp_server: SmtpServer, tmp_path: Path) -> None:
    post.alert()
    post.cycle()
    attempt = Attempt.objects.get()
    leave(tmp_path, Accepted(attempt.message_id, attempt.claim_token, Tried(NOW, NOW, "250 Ok")))

    assert acceptances_recover(tmp_path) == Recovery()
    assert Attempt.objects.count() == 1
    assert list(journals_in(tmp_path)) == []


def test_the_last_words_of_the_dead_add_nothing(post: Post, tmp_path: Path) -> None:
    """Their statement may wait for a row, and run after its outcome was recorded from their journal."""
    message, taken = claimed(post)
    said = accepted(message, taken)
    leave(tmp_path, said)
    assert acceptances_recover(tmp_path) == Recovery(1)

    late = row_of(message.pk, taken.token, said.tried)
    assert rows_write([late], worker="host:7:run") == frozenset()

    assert Attempt.objects.count() == 1
    assert states() == {("sent", "sent")}


def test_of_a_claim_that_others_took_over_only_the_attempt_is_kept(post: Post, tmp_path: Path) -> None:
    message, taken = claimed(post)
    leave(tmp_path, accepted(message, taken)._replace(token=uuid4()))

    assert acceptances_recover(tmp_path) == Recovery(0)
    assert states() == {("pending", "pending")}
    assert Lease.objects.exists()
    assert Attempt.objects.get().outcome == "sent"


def test_a_row_that_somebody_holds_holds_up_nobody_and_its_workers_claims_wait(post: Post, tmp_path: Path) -> None:
    message, taken = claimed(post)
    leave(tmp_path, accepted(message, taken))
    began = time.monotonic()

    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as holder:
        holder.execute("SELECT FROM alerting_message FOR UPDATE")
        found = acceptances_recover(tmp_path)

    assert found == Recovery(0, frozenset({"host:7:run"}))
    assert time.monotonic() - began < 3
    assert incident_kinds() == ["journal_unread"]
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert reap(now=post.now, but=found.unread).returned == ()
    assert acceptances_recover(tmp_path) == Recovery(1)
    assert reap(now=post.now).returned == ()
    assert states() == {("sent", "sent")}


def test_the_journal_of_a_dead_worker_that_is_held_still_is_not_read(post: Post, tmp_path: Path) -> None:
    message, taken = claimed(post)
    journal = Journal(tmp_path, "host:7:run", pages=1)
    next(journal.pages()).keep(accepted(message, taken))

    assert acceptances_recover(tmp_path, worker="host:7:run") == Recovery(0, frozenset({"host:7:run"}))
    assert acceptances_recover(tmp_path, worker="host:8:run") == Recovery()
    journal.leave()
    assert acceptances_recover(tmp_path, worker="host:7:run") == Recovery(1)


def test_an_outcome_that_the_database_refuses_costs_no_other(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, taken = claimed(post)
    real = recovery.rows_write
    bad = accepted(message, taken)._replace(token=uuid4())

    def refusing(rows: list[dict[str, Any]], *, worker: str) -> frozenset[int]:
        if any(row["token"] == str(bad.token) for row in rows):
            raise DataError("refused")
        return real(rows, worker=worker)

    monkeypatch.setattr(recovery, "rows_write", refusing)
    leave(tmp_path, bad, accepted(message, taken))

    assert acceptances_recover(tmp_path) == Recovery(1)
    assert states() == {("sent", "sent")}
    assert incident_kinds() == ["acceptance_refused"]


def test_a_message_that_is_gone_holds_up_no_other(post: Post, tmp_path: Path) -> None:
    message, taken = claimed(post)
    gone = accepted(message, taken)._replace(message_id=message.pk + 1000)
    leave(tmp_path, gone, accepted(message, taken))

    assert acceptances_recover(tmp_path) == Recovery(1)
    assert states() == {("sent", "sent")}


def test_a_journal_stays_while_the_database_is_away(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, taken = claimed(post)
    leave(tmp_path, accepted(message, taken))

    with monkeypatch.context() as patch:

        def away(*_: object, **__: object) -> frozenset[int]:
            connection.close()
            raise OperationalError("the connection is closed")

        patch.setattr(recovery, "rows_write", away)
        with pytest.raises(OperationalError):
            acceptances_recover(tmp_path)

    assert states() == {("pending", "pending")}
    assert Lease.objects.exists()
    assert acceptances_recover(tmp_path) == Recovery(1)
    assert states() == {("sent", "sent")}


def test_a_fault_of_the_database_itself_costs_no_journal(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, taken = claimed(post)
    leave(tmp_path, accepted(message, taken))

    with monkeypatch.context() as patch:

        def read_only(*_: object, **__: object) -> frozenset[int]:
            raise InternalError("cannot execute INSERT in a read-only transaction")

        patch.setattr(recovery, "rows_write", read_only)
        assert acceptances_recover(tmp_path) == Recovery(0, frozenset({"host:7:run"}))

    assert acceptances_recover(tmp_path) == Recovery(1)


def test_one_that_cannot_be_read_keeps_none_of_the_others_from_being_read(post: Post, tmp_path: Path) -> None:
    message, taken = claimed(post)
    leave(tmp_path, accepted(message, taken))
    (tmp_path / "a.1.journal").mkdir()  # root may read any file

    assert acceptances_recover(tmp_path) == Recovery(1, frozenset({"a"}))
    assert states() == {("sent", "sent")}
    assert incident_kinds() == ["journal_unread"]


def test_readers_take_turns_and_none_waits_for_ever(post: Post, tmp_path: Path) -> None:
    """Else one could take a journal for its worker's, and give back messages that another reader has yet to record."""
    message, taken = claimed(post)
    leave(tmp_path, accepted(message, taken))

    with readers_turn(tmp_path):
        found = acceptances_recover(tmp_path, turn=0.2)

    assert found == Recovery(0, frozenset({"host:7:run"}))
    assert acceptances_recover(tmp_path) == Recovery(1)


def test_there_may_be_no_folder_yet(tmp_path: Path) -> None:
    assert acceptances_recover(tmp_path / "nothing") == Recovery()
