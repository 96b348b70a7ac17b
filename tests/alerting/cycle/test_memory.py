"""A message or a claim that is too large for the memory of a worker (`WORKER_MEMORY_MB`)."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.utils import DatabaseError, OperationalError

from alerting.cycle import load, prepare, recorder
from alerting.cycle.context import CycleContext
from alerting.cycle.counts import Counts
from alerting.cycle.inhand import InHand
from alerting.cycle.memory import lacks_memory
from alerting.cycle.queue import Claim, claim
from alerting.cycle.recorder import Recorder
from alerting.cycle.render import Written
from alerting.cycle.rows import MOST_BYTES_TOGETHER, MessageRow
from alerting.cycle.send import our_fault
from alerting.models import Attempt, Lease, Message, Notification
from alerting.transports.limits import Limits
from resilience import incidents
from resilience.models import Incident
from tests.alerting.cycle.conftest import Post
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

HEAVY, OTHERS = "heavy@moana.example", [f"u{number}@moana.example" for number in range(4)]


def no_room_for_result() -> None:
    """What libpq says of a row that it has no room for; the connection stays."""
    raise DatabaseError("out of memory for query result")


def no_room_for_input() -> None:
    """What it says of a row that does not even fit into its buffer; it gives the connection up."""
    connection.connection.close()
    raise DatabaseError("cannot allocate memory for input buffer")


def no_room_for_text() -> None:
    raise MemoryError


WAYS = (no_room_for_result, no_room_for_input, no_room_for_text)


def alerts(post: Post) -> Message:
    """One for each reader, who are told of one event; the message of one of them."""
    for email in OTHERS:
        user = post.world.make_user(email)
        post.world.subscribe(user, post.world.make_rule(email), post.world.make_channel(user))
    notification = post.alert(HEAVY)
    assert notification.message is not None
    return notification.message


def grow(message: Message, size: int = MOST_BYTES_TOGETHER, **fields: str) -> None:
    """Its words, as the first attempt might have fixed them."""
    Message.objects.filter(pk=message.pk).update(
        **{"subject": "Heavy", "text": "Heavy\n\n" + "x" * size, "html": "<p>Heavy</p>"} | fields
    )


def reading(fails: Callable[[str], bool], way: Callable[[], None]) -> Any:
    """While inside, statements of this thread that `fails` says so of fail this way."""

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if fails(f"{sql} {params}"):
            way()
        return run(sql, params, many, context)

    return connection.execute_wrapper(execute)


def reads_words_of_any_size(statement: str) -> bool:
    return '"alerting_message"."text"' in statement and "octet_length" not in statement


def asks_for(key: int, table: str = "alerting_notification") -> Callable[[str], bool]:
    """Statements about many rows of a table that name this one."""

    def names(statement: str) -> bool:
        keys = re.findall(r"\{([0-9,]*)\}", statement)
        return f'FROM "{table}"' in statement and any(str(key) in found.split(",") for found in keys)

    return names


def kinds() -> list[str]:
    incidents.flush(3.0)
    return sorted(Incident.objects.values_list("kind", flat=True))


def only_the_heavy_one_waits(smtp_server: SmtpServer) -> Attempt:
    """All others have it, at their first attempt; returns the heavy one's."""
    assert sorted(address for mail in smtp_server.mails for address in mail.to) == OTHERS
    attempt = Attempt.objects.exclude(outcome="sent").get()
    notification = Notification.objects.exclude(state="sent").get()
    assert notification.message_id == attempt.message_id
    assert notification.subscription.user.email == HEAVY
    assert attempt.error_kind == "ours"
    assert "memory" in attempt.error
    return attempt


@pytest.mark.parametrize("way", WAYS)
def test_words_that_do_not_fit_cost_their_own_message_an_attempt_and_nobody_else_anything(
    post: Post, smtp_server: SmtpServer, way: Callable[[], None]
) -> None:
    grow(alerts(post))

    with reading(reads_words_of_any_size, way):
        counts = post.cycle()

    assert (counts.sent, counts.retried, counts.released) == (4, 1, 0)
    attempt = only_the_heavy_one_waits(smtp_server)
    assert attempt.claim_token == Attempt.objects.filter(outcome="sent").latest("pk").claim_token
    assert attempt.message.state == "pending"
    assert kinds() == ["panic_in_send_cycle"]
    assert "memory" in Incident.objects.get().summary


def test_a_subject_that_does_not_fit_is_no_different(post: Post, smtp_server: SmtpServer) -> None:
    message = alerts(post)
    grow(message, subject="x" * MOST_BYTES_TOGETHER)

    with reading(lambda statement: 'SELECT "alerting_message"."subject"' in statement, no_room_for_input):
        counts = post.cycle()

    assert (counts.sent, counts.retried, counts.released) == (4, 1, 0)
    only_the_heavy_one_waits(smtp_server)


def test_large_words_that_fit_are_sent_as_they_are_and_leave_no_room_taken(post: Post, smtp_server: SmtpServer) -> None:
    grow(alerts(post))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        before = cursor.fetchone()

    counts = post.cycle()

    assert counts.sent == 5
    assert smtp_server.to(HEAVY)[0].text.count("x") == MOST_BYTES_TOGETHER
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() != before  # libpq keeps the room of the largest row that its connection has read


def test_the_usual_words_are_one_query_and_only_large_ones_their_own(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = alerts(post)
    grow(message, size=MOST_BYTES_TOGETHER // 2)
    usual: list[int] = []
    asked: list[int] = []
    real_usual, real = load.message_rows, load.large_message_rows

    def together(keys: Iterable[int], token: UUID) -> list[MessageRow]:
        found = real_usual(keys, token)
        usual.append(len(found))
        return found

    def large(keys: Iterable[int], token: UUID) -> list[MessageRow]:
        asked.extend(keys)
        return real(keys, token)

    monkeypatch.setattr(load, "message_rows", together)
    monkeypatch.setattr(load, "large_message_rows", large)
    assert post.cycle().sent == 5
    assert usual == [5]
    assert asked == []

    heavy = post.tell(email=HEAVY, mmsi=512000002).message  # an event that all others are told of too
    assert heavy is not None
    grow(heavy)
    assert post.cycle().sent == 5
    assert asked == [heavy.pk]


@pytest.mark.parametrize("way", WAYS)
def test_a_claim_that_does_not_fit_is_looked_up_in_parts_down_to_the_message_that_does_not_fit_alone(
    post: Post, smtp_server: SmtpServer, way: Callable[[], None]
) -> None:
    heavy = alerts(post)

    with reading(asks_for(heavy.pk), way):
        counts = post.cycle()

    assert (counts.sent, counts.retried, counts.released) == (4, 1, 0)
    only_the_heavy_one_waits(smtp_server)
    assert kinds() == ["claim_does_not_fit", "panic_in_send_cycle"]


def test_a_message_whose_own_row_does_not_fit_is_found_out_alone(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    heavy = alerts(post)
    real = load.message_rows

    def rows(keys: Iterable[int], token: UUID) -> list[MessageRow]:
        if heavy.pk in keys:
            raise DatabaseError("out of memory for query result")
        return real(keys, token)

    monkeypatch.setattr(load, "message_rows", rows)
    counts = post.cycle()

    assert (counts.sent, counts.retried, counts.released) == (4, 1, 0)
    only_the_heavy_one_waits(smtp_server)
    assert kinds() == ["claim_does_not_fit", "panic_in_send_cycle"]


def test_a_claim_that_fits_in_parts_burns_no_attempt(post: Post, smtp_server: SmtpServer) -> None:
    alerts(post)

    with reading(lambda statement: len(re.findall(r"\d+(?=,\d)", statement)) > 1, no_room_for_result):
        counts = post.cycle()

    assert counts.sent == 5
    assert not Attempt.objects.exclude(outcome="sent").exists()
    assert kinds() == ["claim_does_not_fit"]


def test_words_that_cannot_be_kept_together_for_want_of_memory_are_kept_one_by_one(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    heavy = alerts(post)
    real = prepare.words_fix

    def words_fix(claimed: Claim, written: Sequence[Written]) -> frozenset[int]:
        if heavy.pk in [one.checked.message.pk for one in written]:
            raise MemoryError
        return real(claimed, written)

    monkeypatch.setattr(prepare, "words_fix", words_fix)
    counts = post.cycle()

    assert (counts.sent, counts.retried, counts.released) == (4, 1, 0)
    only_the_heavy_one_waits(smtp_server)


def short_of_memory(smtp_server: SmtpServer, others: int) -> Callable[[str], bool]:
    """While the server has taken fewer mails than this."""
    return lambda statement: reads_words_of_any_size(statement) and len(smtp_server.mails) < others


def test_a_message_that_has_no_room_beside_others_is_tried_again_alone_and_burns_no_attempt(
    post: Post, smtp_server: SmtpServer
) -> None:
    smtp_server.delay = 0.05
    grow(alerts(post))

    with reading(short_of_memory(smtp_server, len(OTHERS)), no_room_for_result):
        counts = post.cycle()

    assert counts.sent == 5
    assert not Attempt.objects.exclude(outcome="sent").exists()


def test_a_message_that_has_no_room_while_others_stay_in_hand_comes_again_and_burns_no_attempt(
    post: Post, smtp_server: SmtpServer
) -> None:
    smtp_server.delay = 0.5  # four of them last longer than anybody is waited for
    heavy = alerts(post)
    grow(heavy)

    with reading(reads_words_of_any_size, no_room_for_result):
        counts = post.cycle()
    waits = Message.objects.get(pk=heavy.pk)
    post.later(seconds=31)
    smtp_server.delay = 0.0
    post.cycle()

    assert (counts.sent, counts.retried) == (4, 0)
    assert (waits.state, waits.attempts_made) == ("pending", 0)
    assert waits.next_attempt_at > waits.due_at
    assert Message.objects.get(pk=heavy.pk).state == "sent"
    assert kinds() == ["message_waits_for_memory"]


def test_a_look_up_that_has_no_room_beside_others_burns_no_attempt(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.delay = 0.05
    heavy = alerts(post)
    names_it = asks_for(heavy.pk)

    with reading(lambda statement: names_it(statement) and len(smtp_server.mails) < len(OTHERS), no_room_for_text):
        counts = post.cycle()

    assert counts.sent == 5
    assert not Attempt.objects.exclude(outcome="sent").exists()


def prepared(post: Post, *, others_gone: Callable[[], bool]) -> list[int]:
    """The sizes of the parts of all that is due, each let go before the next is asked for."""
    context, in_hand = CycleContext(cadence="realtime", clock=lambda: post.now), InHand()
    recorder = Recorder(context, in_hand, until=0.0)
    preparation = prepare.Preparation(context, Counts(), recorder, in_hand, others_gone=others_gone)
    claimed = claim(rooms={"realtime:email": 9}, now=post.now, lease=context.lease, worker="w:1:1")
    return list(map(len, preparation.prepare(claimed, awaited=False)))


def test_others_that_stay_in_hand_are_waited_for_once(post: Post) -> None:
    alerts(post)
    asked: list[bool] = []

    def stay() -> bool:
        asked.append(True)
        return False

    with reading(lambda statement: 'FROM "alerting_notification"' in statement, no_room_for_result):
        parts = prepared(post, others_gone=stay)

    assert parts == []
    assert len(asked) == 1
    assert Message.objects.filter(state="pending", attempts_made=0, next_attempt_at__gt=post.now).count() == 5


def test_what_is_prepared_is_handed_over_before_the_next_is_prepared(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words fill the memory from the moment they are made or read until they have left."""
    grow(alerts(post))
    monkeypatch.setattr(prepare, "MOST_TOLD_TOGETHER", 2)
    real = prepare.words_fix
    earlier: list[weakref.ref[MessageRow]] = []
    alive: list[int] = []

    def words_fix(claimed: Claim, written: Sequence[Written]) -> frozenset[int]:
        gc.collect()
        alive.append(len([one for one in earlier if one() is not None]))
        earlier.extend(weakref.ref(one.checked.message) for one in written)
        return real(claimed, written)

    monkeypatch.setattr(prepare, "words_fix", words_fix)

    parts = prepared(post, others_gone=lambda: True)

    assert parts == [2, 2, 1]
    assert alive == [0, 0, 0]


def test_an_outcome_waits_for_memory(post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    post.alert()
    real, short = recorder.outcomes_record, [MemoryError(), MemoryError()]

    def outcomes_record(*args: Any, **named: Any) -> Any:
        if short:
            raise short.pop()
        return real(*args, **named)

    monkeypatch.setattr(recorder, "outcomes_record", outcomes_record)
    post.cycle()

    assert Message.objects.get().state == "sent"
    assert len(smtp_server.mails) == 1
    assert kinds() == []


def no_room_for_threads(monkeypatch: pytest.MonkeyPatch, fails: Callable[[str], bool]) -> None:
    """Those whose name `fails` says so of cannot start."""
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if fails(thread.name):
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


def test_connections_for_whose_threads_there_is_no_room_are_done_without(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts(post)
    no_room_for_threads(monkeypatch, lambda name: name.startswith("email-") and name != "email-0")

    counts = post.cycle(limits=lambda kind: Limits(4))

    assert counts.sent == 5
    assert kinds() == []


@pytest.mark.parametrize("thread", ["email-0", "recorder"])
def test_all_is_given_back_where_there_is_no_room_for_the_threads_that_it_takes(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch, thread: str
) -> None:
    smtp_server.delay = 0.2
    alerts(post)
    no_room_for_threads(monkeypatch, lambda name: name == thread)

    post.cycle()
    assert kinds() == ["panic_in_send_cycle"]
    assert not Lease.objects.exists()
    monkeypatch.undo()
    post.later(minutes=1)
    post.cycle()

    assert Message.objects.filter(state="sent").count() == 5


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError(), True),
        (DatabaseError("out of memory for query result"), True),
        (DatabaseError("sending query failed: cannot allocate memory for output buffer"), True),
        (DatabaseError("the connection is closed"), False),
        (OperationalError('connection to server at "::1", port 5432 failed: FATAL:  out of memory'), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_known_by_what_python_and_libpq_say(error: Exception, lacks: bool) -> None:
    assert lacks_memory(error) is lacks


def test_a_server_that_lacks_memory_is_not_us() -> None:
    with pytest.raises(DatabaseError) as raised, connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE 'out of memory' USING ERRCODE = 'out_of_memory'; END $$")

    assert not lacks_memory(raised.value)


class Large:
    """What fills the memory."""


def test_a_fault_for_want_of_memory_names_it_and_holds_nothing() -> None:
    held: list[weakref.ref[Large]] = []

    def make() -> None:
        large = Large()
        held.append(weakref.ref(large))
        raise MemoryError

    try:
        make()
    except MemoryError as error:
        fault = our_fault(error)

    assert str(fault) == "A fault of our own: MemoryError: it takes more memory than a worker may have."
    assert held[0]() is None
