"""Sending on several connections at a time, and one recorder that keeps what came of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection

from accounts.models import Channel
from alerting.cycle import recorder, rounds, senders
from alerting.cycle.journal import Journal
from alerting.cycle.outcomes import Outcome, Recorded
from alerting.cycle.queue import Claim, claim
from alerting.cycle.recovery import acceptances_recover
from alerting.cycle.seat import Ready
from alerting.cycle.telling import Telling
from alerting.messages import message_new
from alerting.models import Attempt, ErrorKind, Lease, Message, MessageKind, SendCycleRun, State
from alerting.transports import Outgoing, TransportError, nothing, transport_for
from alerting.transports.email import mail as email_mail
from alerting.transports.limits import Limits, Pacers
from tests.alerting.cycle.conftest import Post
from tests.alerting.cycle.test_run import incident_kinds
from tests.alerting.world import World
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

Record = Callable[..., Recorded]


def queue_messages(world: World, count: int, *, email: str = "many@moana.example", **fields: Any) -> None:
    """That many test messages, each to an address of its own."""
    user = world.make_user(email)
    for number in range(count):
        channel = world.make_channel(user, name=f"c{number}", address=f"r{number}@moana.example")
        made = message_new(
            organisation_id=world.organisation.pk, channel=channel, kind=MessageKind.TEST, due_at=Post(world).now,
            now=Post(world).now,
        )  # fmt: skip
        for name, value in fields.items():
            setattr(made, name, value)
        made.save()


def test_a_few_messages_of_a_claim_leave_before_the_rest_is_made_ready(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_messages(post.world, 25)
    parts: list[int] = []
    real = senders.Senders.put

    def counted(self: senders.Senders, several: Sequence[Ready]) -> None:
        parts.append(len(several))
        real(self, several)

    monkeypatch.setattr(senders.Senders, "put", counted)

    assert post.cycle().sent == 25
    assert parts == [20, 5]


def test_while_a_server_lets_us_wait_the_queue_is_asked_a_few_times_a_second(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a kind of which more was due than there was room for: else the cycle would claim as fast as it can."""
    smtp_server.delay = 1.0
    queue_messages(post.world, 2)
    claims: list[int] = []

    def counted(**named: Any) -> Claim:
        taken = claim(**named)
        claims.append(len(taken.message_ids))
        return taken

    monkeypatch.setattr(rounds, "claim", counted)

    post.cycle(limits=lambda kind: Limits(1), claim_size=2)

    assert sum(claims) == len(smtp_server.mails) == 2
    assert len(claims) < 60  # two seconds at ten a second, and some more


def test_slow_answers_are_waited_for_on_all_connections_at_once(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.delay = 0.5
    queue_messages(post.world, 20)

    began = time.monotonic()
    counts = post.cycle(limits=lambda kind: Limits(10))

    assert counts.sent == 20
    assert time.monotonic() - began < 6  # one after the other: 10 s
    assert smtp_server.connections == 10
    assert set(smtp_server.message_ids().values()) == {1}


def test_a_server_that_hangs_for_one_message_holds_up_no_other(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.hang.add("r0@moana.example")
    queue_messages(post.world, 12)

    counts = post.cycle(limits=lambda kind: Limits(3), send_deadline=2.0)

    assert (counts.sent, counts.retried) == (11, 1)


@pytest.mark.parametrize(("pages", "least", "most"), [(0, 2, 4), (1, 2, 5), (4, 5, 8)])
def test_a_connection_sends_one_message_ahead_of_the_record_and_with_a_page_of_the_journal_two(
    pages: int,
    least: int,
    most: int,
    post: Post,
    smtp_server: SmtpServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A crash now would repeat what was accepted and is neither in the record nor in the journal."""
    queue_messages(post.world, 30)
    most_ahead = 0
    real: Record = recorder.outcomes_record

    def slow(outcomes: list[Outcome], *, worker: str) -> Recorded:
        nonlocal most_ahead
        time.sleep(0.05)
        most_ahead = max(most_ahead, len(smtp_server.mails) - Attempt.objects.count())
        return real(outcomes, worker=worker)

    monkeypatch.setattr(recorder, "outcomes_record", slow)
    journal = Journal(tmp_path, "host:7:run", pages=pages) if pages else None
    counts = post.cycle(limits=lambda kind: Limits(4), journal=journal)

    assert counts.sent == 30
    assert least <= most_ahead <= most


def test_outcomes_wait_for_a_database_that_comes_back(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_messages(post.world, 10)
    away_until = time.monotonic() + 1.0
    real: Record = recorder.outcomes_record

    def away(outcomes: list[Outcome], *, worker: str) -> Recorded:
        if time.monotonic() < away_until:
            raise OperationalError("the connection is closed")
        return real(outcomes, worker=worker)

    monkeypatch.setattr(recorder, "outcomes_record", away)
    counts = post.cycle(limits=lambda kind: Limits(2))

    assert (counts.sent, counts.released) == (10, 0)
    assert set(smtp_server.message_ids().values()) == {1}


def test_what_cannot_be_recorded_is_told_and_is_not_sent_again_until_its_lease_ends(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_messages(post.world, 4)

    def away(outcomes: list[Outcome], *, worker: str) -> Recorded:
        raise OperationalError("the connection is closed")

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "outcomes_record", away)
        counts = post.cycle(budget=5.0, send_deadline=1.0)
    sent_first = len(smtp_server.mails)
    post.cycle()

    assert (counts.sent, sent_first) == (0, 1)
    assert len(smtp_server.mails) == 4
    assert set(smtp_server.message_ids().values()) == {1}
    assert Message.objects.filter(state="pending", lease__isnull=False).count() == 1
    assert incident_kinds() == ["outcome_not_recorded"]


def test_what_a_cycle_could_not_record_is_recovered_from_its_journal(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    queue_messages(post.world, 4)
    journal = Journal(tmp_path, "host:7:run", pages=1)

    def away(outcomes: list[Outcome], *, worker: str) -> Recorded:
        raise OperationalError("the connection is closed")

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "outcomes_record", away)
        post.cycle(budget=5.0, send_deadline=1.0, journal=journal)
    sent_first = len(smtp_server.mails)
    recovered = acceptances_recover(tmp_path).recovered
    counts = post.cycle(journal=journal)

    assert sent_first == recovered == 2
    assert counts.sent == 2
    assert set(smtp_server.message_ids().values()) == {1}
    assert set(Message.objects.values_list("state", "deaths")) == {("sent", 0)}


def test_an_accepted_message_whose_outcome_finds_no_memory_is_not_sent_again(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    queue_messages(post.world, 1)

    with monkeypatch.context() as patch:
        patch.setattr(senders, "outcome_of", no_memory)
        post.cycle(journal=Journal(tmp_path, "host:7:run", pages=1))
    recovered = acceptances_recover(tmp_path).recovered
    post.cycle()

    assert recovered == 1
    assert len(smtp_server.mails) == 1
    assert Message.objects.get().state == State.SENT


def no_memory(*args: Any, **named: Any) -> Any:
    raise MemoryError


def two_of_which_the_first_does_not_fit(post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is in hand for a second."""
    smtp_server.delay = 1.0
    queue_messages(post.world, 2)
    real = email_mail.mail_bytes

    def mail_bytes(outgoing: Outgoing, **named: Any) -> bytes:
        if outgoing.address == "r0@moana.example":
            raise MemoryError
        return real(outgoing, **named)

    monkeypatch.setattr(email_mail, "mail_bytes", mail_bytes)


def test_a_mail_that_never_fits_is_charged_after_an_hour_of_others(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_of_which_the_first_does_not_fit(post, smtp_server, monkeypatch)
    Message.objects.update(due_at=post.now - timedelta(hours=1))

    counts = post.cycle(limits=lambda kind: Limits(2))

    assert (counts.sent, counts.retried) == (1, 1)
    assert Message.objects.get(state=State.PENDING).attempts_made == 1


def test_a_mail_that_does_not_fit_beside_others_comes_again_and_only_alone_is_it_its_own_fault(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_of_which_the_first_does_not_fit(post, smtp_server, monkeypatch)

    counts = post.cycle(limits=lambda kind: Limits(2))

    assert (counts.sent, counts.retried) == (1, 0)
    waits = Message.objects.get(state=State.PENDING)
    assert waits.channel.address == "r0@moana.example"
    assert (waits.attempts_made, waits.deaths, waits.next_attempt_at) == (0, 0, post.now + timedelta(seconds=30))
    assert incident_kinds() == ["message_waits_for_memory"]

    Message.objects.filter(pk=waits.pk).update(next_attempt_at=post.now)
    assert post.cycle(limits=lambda kind: Limits(2)).retried == 1
    assert Attempt.objects.get(message=waits).error_kind == ErrorKind.OURS


def test_a_recorder_without_memory_even_to_say_so_keeps_nobody_waiting(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_messages(post.world, 4)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "outcomes_record", no_memory)
        patch.setattr(recorder.log, "error", no_memory)
        patch.setattr(recorder.log, "exception", no_memory)
        post.cycle(budget=5.0, send_deadline=1.0)
    sent_first = len(smtp_server.mails)
    post.cycle()

    assert sent_first == 1
    assert set(smtp_server.message_ids().values()) == {1}
    assert Message.objects.filter(state="pending", lease__isnull=False).count() == 1
    assert SendCycleRun.objects.filter(error="An outcome could not be recorded.").count() == 1


def test_a_line_of_log_that_cannot_be_written_costs_no_message_anything(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_messages(post.world, 4)

    monkeypatch.setattr(Telling, "sent_log", no_memory)
    counts = post.cycle()

    assert Attempt.objects.filter(outcome="sent").count() == 4
    assert counts.sent == 4
    assert incident_kinds() == ["outcomes_not_told"]


def test_a_thread_that_cannot_even_record_its_fault_ends_its_cycle_and_no_other(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_messages(post.world, 4)

    with monkeypatch.context() as patch:
        patch.setattr(senders, "send", no_memory)
        patch.setattr(senders, "never_sent", no_memory)
        patch.setattr(senders.log, "exception", no_memory)
        post.cycle()
    post.cycle()

    assert len(smtp_server.mails) == 3
    assert Message.objects.filter(state="pending", lease__isnull=False).count() == 1


def test_an_outcome_that_the_database_refuses_costs_only_itself(
    post: Post, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_messages(post.world, 6)
    bad = Message.objects.earliest("pk").pk
    real: Record = recorder.outcomes_record

    def refuse(outcomes: list[Outcome], *, worker: str) -> Recorded:
        if any(each.message_id == bad for each in outcomes):
            raise DataError("a value that no column takes")
        return real(outcomes, worker=worker)

    monkeypatch.setattr(recorder, "outcomes_record", refuse)
    post.cycle(limits=lambda kind: Limits(6))

    recorded = set(Message.objects.filter(state=State.SENT).values_list("pk", flat=True))
    assert bad not in recorded
    assert recorded == set(Attempt.objects.values_list("message_id", flat=True))
    assert len(recorded) == len(smtp_server.mails) - 1


def test_a_lost_lease_keeps_the_attempt_and_changes_no_state(post: Post, smtp_server: SmtpServer) -> None:
    queue_messages(post.world, 1)

    def steal(recipient: str) -> None:
        later = post.now + timedelta(hours=1)
        Lease.objects.all().delete()
        Message.objects.update(next_attempt_at=later)
        connection.close()

    smtp_server.before_answer = steal
    counts = post.cycle()

    assert (counts.sent, Attempt.objects.get().outcome) == (0, "sent")
    assert Message.objects.get().state == "pending"


def test_of_a_claim_that_was_taken_back_nothing_more_is_sent(post: Post, smtp_server: SmtpServer) -> None:
    queue_messages(post.world, 10)

    def steal(recipient: str) -> None:
        held = list(Lease.objects.values_list("pk", flat=True))
        Lease.objects.all().delete()
        Message.objects.filter(pk__in=held).update(state=State.CANCELLED, reason="somebody else")
        connection.close()

    smtp_server.before_answer = steal
    post.cycle(limits=lambda kind: Limits(2))

    assert len(smtp_server.mails) <= 4  # on each connection one on the wire, and one begun before that was known


def test_a_stop_finishes_what_is_on_the_wire_and_gives_the_rest_back(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.delay = 0.3
    stop = threading.Event()
    smtp_server.before_answer = lambda recipient: stop.set()
    queue_messages(post.world, 20)

    counts = post.cycle(limits=lambda kind: Limits(4), stopping=stop.is_set)

    assert 1 <= counts.sent <= 4
    assert counts.sent == len(smtp_server.mails) == Attempt.objects.count()
    assert counts.released == 20 - counts.sent
    assert not Lease.objects.exists()


def test_a_server_that_wants_fewer_connections_gets_fewer(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.most_connections = 2
    smtp_server.delay = 0.05
    queue_messages(post.world, 20)

    counts = post.cycle(limits=lambda kind: Limits(6))
    post.later(seconds=30)
    counts_after = post.cycle(limits=lambda kind: Limits(2))

    assert counts.sent + counts_after.sent == 20
    assert not Attempt.objects.exclude(outcome="sent").exists()


def test_a_suspect_is_sent_alone(post: Post, smtp_server: SmtpServer) -> None:
    queue_messages(post.world, 3, deaths=1)
    held: list[int] = []

    def count(recipient: str) -> None:
        held.append(Lease.objects.count())
        connection.close()

    smtp_server.before_answer = count

    counts = post.cycle(limits=lambda kind: Limits(5))

    assert (counts.sent, held) == (3, [1, 1, 1])


def test_a_lease_that_ran_out_while_waiting_starts_no_send(post: Post, smtp_server: SmtpServer) -> None:
    queue_messages(post.world, 5)
    passed = [0.0]

    def wait_long(recipient: str) -> None:
        passed[0] += 100

    smtp_server.before_answer = wait_long

    counts = post.cycle(
        lease=timedelta(seconds=120), budget=1000.0, send_deadline=30.0, monotonic=lambda: time.monotonic() + passed[0]
    )

    assert (counts.sent, counts.released) == (1, 4)


def test_a_provider_s_limit_spreads_the_sends(post: Post, smtp_server: SmtpServer) -> None:
    queue_messages(post.world, 6)

    began = time.monotonic()
    counts = post.cycle(limits=lambda kind: Limits(6, per_second=10))

    assert counts.sent == 6
    assert 0.5 <= time.monotonic() - began < 3


def test_a_provider_s_limit_holds_across_cycles(post: Post, smtp_server: SmtpServer) -> None:
    pacers = Pacers()
    queue_messages(post.world, 1)
    began = time.monotonic()

    for _ in range(4):
        post.cycle(limits=lambda kind: Limits(1, per_second=2), pacers=pacers)
        Message.objects.update(state=State.PENDING, sent_at=None)

    assert len(smtp_server.mails) == 4
    assert time.monotonic() - began >= 1.5


def test_what_comes_while_a_server_hangs_for_one_message_leaves_meanwhile(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.hang.add("r0@moana.example")
    queue_messages(post.world, 1)
    came = threading.Timer(0.5, queue_of_another)
    came.start()
    began, left_at = time.monotonic(), [0.0]
    smtp_server.before_answer = lambda recipient: left_at.__setitem__(0, time.monotonic() - began)

    counts = post.cycle(limits=lambda kind: Limits(3), send_deadline=8.0)
    came.join()

    assert (counts.sent, counts.retried) == (1, 1)
    assert left_at[0] < 4  # the one that hangs is cut off after 8 s


def test_a_kind_that_is_slow_holds_up_no_other(post: Post, smtp_server: SmtpServer) -> None:
    user = post.world.make_user("hooks@moana.example")
    hook = post.world.make_channel(user, kind="webhook", name="hook", address="https://hook.example/")
    for _ in range(20):
        queue_one(post.world, hook)
    came = threading.Timer(0.5, queue_of_another)
    came.start()
    hooks_before: list[int] = []

    class Slow:
        sent = 0

        def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
            handover()
            time.sleep(0.3)
            Slow.sent += 1
            return "204"

        def close(self) -> None:
            return

    smtp_server.before_answer = lambda recipient: hooks_before.append(Slow.sent)
    post.cycle(
        limits=lambda kind: Limits(1), transport=lambda kind: Slow() if kind == "webhook" else transport_for(kind)
    )
    came.join()

    assert Slow.sent == 20
    assert hooks_before[0] < 10


def test_a_mail_server_that_is_probed_and_hangs_holds_up_no_other_kind(post: Post, smtp_server: SmtpServer) -> None:
    queue_messages(post.world, 1)
    smtp_server.stop()
    post.cycle()
    smtp_server.start()
    smtp_server.hang.add("r0@moana.example")
    post.later(seconds=20)
    user = post.world.make_user("slack@moana.example")
    queue_one(post.world, post.world.make_channel(user, kind="slack", name="s", address="https://hooks.slack.test/x"))
    began, slack_at = time.monotonic(), [0.0]

    class Slack:
        def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
            slack_at[0] = time.monotonic() - began
            return "ok"

        def close(self) -> None:
            return

    post.cycle(send_deadline=8.0, transport=lambda kind: Slack() if kind == "slack" else transport_for(kind))

    assert 0 < slack_at[0] < 4


def test_one_message_that_shuts_its_kind_is_not_the_next_probe_again(post: Post, smtp_server: SmtpServer) -> None:
    queue_messages(post.world, 6)

    class Picky:
        def __init__(self) -> None:
            self._to = transport_for("email")

        def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
            if outgoing.address == "r0@moana.example":
                handover()
                raise TransportError("Not for this one.", kind=ErrorKind.TRANSIENT, whole_kind=True)
            return self._to.send(outgoing, deadline=deadline, handover=handover)

        def close(self) -> None:
            self._to.close()

    for _ in range(4):
        post.cycle(transport=lambda kind: Picky())
        post.later(seconds=20)

    assert Message.objects.filter(state=State.SENT).count() == 5
    assert Message.objects.exclude(state=State.SENT).get().attempts_made == 0


def test_suspects_have_a_turn_under_a_flood(post: Post, smtp_server: SmtpServer) -> None:
    smtp_server.delay = 0.05
    queue_messages(post.world, 80)
    queue_of_another(deaths=1)

    counts = post.cycle(budget=3.0, send_deadline=1.0)

    assert 0 < counts.sent < 81  # the flood is not over
    assert len(smtp_server.to("one@other.example")) == 1


def test_what_nothing_was_asked_for_costs_no_attempt(post: Post) -> None:
    queue_messages(post.world, 2)

    class LeftAlone:
        def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
            raise TransportError("Later.", kind=ErrorKind.TRANSIENT, untried=True, retry_after=30)

        def close(self) -> None:
            return

    post.cycle(transport=lambda kind: LeftAlone())

    assert not Attempt.objects.exists()
    assert {(each.state, each.attempts_made) for each in Message.objects.all()} == {("pending", 0)}
    assert Message.objects.filter(next_attempt_at__gt=post.now + timedelta(seconds=20)).count() == 2


def test_a_probe_that_asked_nothing_leaves_the_way_to_the_next(post: Post, smtp_server: SmtpServer) -> None:
    queue_messages(post.world, 1)
    smtp_server.stop()
    post.cycle()
    smtp_server.start()
    post.later(seconds=20)

    class LeftAlone:
        def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
            raise TransportError("Later.", kind=ErrorKind.TRANSIENT, untried=True, retry_after=1)

        def close(self) -> None:
            return

    assert post.cycle(transport=lambda kind: LeftAlone()).sent == 0
    Message.objects.update(next_attempt_at=post.now)

    assert post.cycle().sent == 1


def queue_one(world: World, channel: Channel, **fields: Any) -> None:
    now = Post(world).now
    made = message_new(
        organisation_id=world.organisation.pk, channel=channel, kind=MessageKind.TEST, due_at=now, now=now
    )
    for name, value in fields.items():
        setattr(made, name, value)
    made.save()


def queue_of_another(**fields: Any) -> None:
    """A message of another organisation; also from another thread."""
    other = World("other")
    queue_one(other, other.make_channel(other.make_user("one@other.example")), **fields)
    if threading.current_thread() is not threading.main_thread():
        connection.close()
