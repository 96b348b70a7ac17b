"""An envelope that leaves behind the content of the mail before it, to servers that take it in their own ways."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from alerting.models import ErrorKind
from alerting.transports import Heard, Line, Outgoing, TransportError
from alerting.transports.email import EmailTransport
from alerting.transports.email import mail as email_mail
from alerting.transports.email.early import EarlyEnvelopes, Order
from tests.alerting.transports.test_email import certificate, mailer, outgoing, soon, tls_server_context
from tests.alerting.transports.test_line import begun, hear, line_of
from tests.odd_smtp_server import OddServer
from tests.smtp_server import SmtpServer

__all__ = ["certificate"]


def mails(count: int) -> list[Outgoing]:
    return [outgoing(message_id=f"<{number}@w>", address=f"r{number}@moana.example") for number in range(count)]


def to(server: OddServer, **changes: Any) -> EmailTransport:
    return mailer(server, **changes)  # type: ignore[arg-type]  # it needs no more than a port


def sent_in_a_row(line: Line, several: list[Outgoing]) -> list[str]:
    """Each announced behind the one before it where that can be done. The answers."""
    answers, heard = [], begun(line, several[0])
    for behind in [*several[1:], None]:
        assert heard is Heard.GO_ON
        assert line.takes_early
        announced = behind is not None and line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        answers.append(line.taken())
        if announced:
            heard = follow(line)
        elif behind is not None:
            heard = begun(line, behind)
    return answers


def follow(line: Line) -> Heard:
    heard = line.follow()
    return hear(line) if heard is Heard.NOTHING else heard


def handed_over(line: Line, mail: Outgoing, behind: Outgoing) -> None:
    """The content, and the envelope of the one behind it."""
    assert begun(line, mail) is Heard.GO_ON
    assert line.announce_early(behind)
    assert line.hand_over()


def known(server: OddServer, *several: Outgoing) -> tuple[EmailTransport, Line]:
    """A line to a server whose order of answers is known by now."""
    transport = to(server)
    line = line_of(transport)
    sent_in_a_row(line, list(several) or mails(2))
    server.taken.clear()
    return transport, line


@pytest.mark.parametrize("way", [{}, {"drips": True}, {"content_last": True}, {"content_last": True, "drips": True}])
def test_mails_leave_one_behind_another_in_one_round_trip_each(way: dict[str, bool]) -> None:
    with OddServer(**way) as server:
        transport = to(server)

        answers = sent_in_a_row(line_of(transport), mails(5))
        transport.close()

    assert answers == ["250 2.0.0 taken"] * 5
    assert server.taken == {f"<{number}@w>": 1 for number in range(5)}
    assert (server.connections, server.together()) == (1, 3)  # the first tried it


@pytest.mark.parametrize("content_last", [False, True], ids=["in order", "content last"])
def test_in_a_trial_a_refusal_is_the_contents_in_whatever_order(content_last: bool) -> None:
    with OddServer(content_last=content_last, answers={".r0@moana.example": "554 5.7.1 spam"}) as server:
        transport, (mail, behind) = to(server), mails(2)
        line = line_of(transport)
        assert begun(line, mail) is Heard.GO_ON
        assert not line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.ELSE

        with pytest.raises(TransportError) as refused:
            line.finish(mail, deadline=soon())
        answer = transport.send(behind, deadline=soon())
        transport.close()

    assert refused.value.answer == "554 5.7.1 spam"
    assert answer.startswith("250")
    assert server.taken == {"<1@w>": 1}


@pytest.mark.parametrize("refused", [".r0@moana.example", "r1@moana.example"], ids=["content", "envelope"])
def test_of_a_server_that_answers_in_another_order_a_refusal_is_nobodys(refused: str) -> None:
    with OddServer(content_last=True) as server:
        transport, line = known(server)
        server.answers[refused] = "554 5.7.1 no"
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line) is Heard.ELSE

        with pytest.raises(TransportError, match="may have arrived") as fault:
            line.finish(mail, deadline=soon())
        answer = transport.send(outgoing(message_id="<2@w>"), deadline=soon())
        transport.close()

    assert (fault.value.unknown, fault.value.kind) == (True, ErrorKind.TRANSIENT)
    assert answer.startswith("250")
    assert server.taken["<2@w>"] == 1
    assert server.connections == 2


def test_such_a_server_may_take_its_time() -> None:
    with OddServer(content_last=True) as server:
        transport, line = known(server)
        server.owed_seconds = 2.0
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line, seconds=0.2) is Heard.NOTHING

        answer = line.finish(mail, deadline=soon())
        transport.close()

    assert answer == "250 2.0.0 taken"
    assert server.taken == {"<0@w>": 1}


def test_a_content_that_is_refused_is_told_and_the_mail_behind_it_is_as_if_it_was_never_announced() -> None:
    with OddServer() as server:
        transport, line = known(server)
        server.answers[".r0@moana.example"] = "554 5.7.1 spam"
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line) is Heard.ELSE

        with pytest.raises(TransportError) as refused:
            line.finish(mail, deadline=soon())
        answer = transport.send(behind, deadline=soon())
        still_welcome = line_of(transport).takes_early
        transport.close()

    assert (refused.value.kind, refused.value.answer) == (ErrorKind.PERMANENT, "554 5.7.1 spam")
    assert answer.startswith("250")
    assert server.taken == {"<1@w>": 1}
    assert server.connections == 2  # the server was waiting for the content of the one behind
    assert still_welcome


def test_a_recipient_that_is_refused_early_is_refused_as_ever() -> None:
    with OddServer() as server:
        transport, line = known(server)
        server.answers["r1@moana.example"] = "550 5.1.1 nobody"
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line) is Heard.TAKEN
        assert line.taken().startswith("250")

        heard = follow(line)
        assert heard is Heard.ELSE
        with pytest.raises(TransportError) as refused:
            line.finish(behind, deadline=soon())
        transport.send(outgoing(message_id="<2@w>"), deadline=soon())
        transport.close()

    assert refused.value.bounced
    assert server.taken == {"<0@w>": 1, "<2@w>": 1}
    assert server.connections == 1


def test_what_was_announced_and_given_up_does_not_leave() -> None:
    with OddServer() as server:
        transport, line = known(server)
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line) is Heard.TAKEN
        line.taken()
        line.follow()

        line.give_up()
        transport.send(outgoing(message_id="<2@w>"), deadline=soon())
        transport.close()

    assert server.taken == {"<0@w>": 1, "<2@w>": 1}
    assert server.connections == 2


@pytest.mark.parametrize("way", [{"swallows": True}, {"one_each": True}], ids=str)
def test_a_server_that_cannot_be_asked_early_is_known_after_one_mail(way: dict[str, bool]) -> None:
    mail, other = mails(2)
    with OddServer(**way) as server:
        transport = to(server)
        line = line_of(transport)
        assert begun(line, mail) is Heard.GO_ON
        assert line.takes_early
        assert not line.announce_early(other)
        assert line.hand_over()
        hear(line, seconds=0.3)

        assert line.finish(mail, deadline=soon()).startswith("250")
        assert transport.send(other, deadline=soon()).startswith("250")
        welcome = line_of(transport).takes_early
        transport.close()

    assert not welcome
    assert server.taken == {"<0@w>": 1, "<1@w>": 1}


def test_an_early_envelope_that_is_not_answered_leaves_again_elsewhere_and_none_is_tried_again() -> None:
    with OddServer() as server:
        transport, line = known(server)
        server.envelope_seconds = 30.0
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line) is Heard.TAKEN
        line.taken()
        assert line.follow() is Heard.NOTHING
        assert hear(line, seconds=0.2) is Heard.NOTHING

        assert line.finish(behind, deadline=soon(5)).startswith("250")
        welcome = line_of(transport).takes_early
        transport.close()

    assert server.taken == {"<0@w>": 1, "<1@w>": 1}
    assert (server.connections, welcome) == (2, False)


def test_a_connection_that_is_lost_says_nothing_of_early_envelopes() -> None:
    with OddServer() as server:
        transport, line = known(server)
        mail, behind = mails(2)
        assert begun(line, mail) is Heard.GO_ON
        server.one_each = True
        assert line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        line.taken()
        assert line.follow() is Heard.NOTHING
        assert hear(line) is Heard.ELSE

        assert line.finish(behind, deadline=soon()).startswith("250")
        welcome = line_of(transport).takes_early
        transport.close()

    assert server.taken == {"<0@w>": 1, "<1@w>": 1}
    assert welcome


def test_what_cannot_be_announced_is_left_to_whoever_begins_it() -> None:
    with OddServer() as server:
        transport, line = known(server)
        mail, behind = outgoing(message_id="<0@w>"), outgoing(address="nobody")
        assert begun(line, mail) is Heard.GO_ON
        assert not line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        assert line.taken().startswith("250")
        transport.close()

    assert server.taken == {"<0@w>": 1}
    assert server.together() == 0


def test_a_mail_that_cannot_be_made_harms_none_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = email_mail.mail_bytes

    def broken(mail: Outgoing, **rest: Any) -> bytes:
        if mail.message_id == "<1@w>":
            raise ZeroDivisionError
        return real(mail, **rest)

    monkeypatch.setattr(email_mail, "mail_bytes", broken)
    with OddServer() as server:
        transport, line = known(server, outgoing(message_id="<a@w>"), outgoing(message_id="<b@w>"))
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line) is Heard.TAKEN
        line.taken()
        heard = follow(line)
        assert heard is Heard.GO_ON
        with pytest.raises(ZeroDivisionError):
            line.hand_over()
        with pytest.raises(ZeroDivisionError):
            line.finish(behind, deadline=soon())
        assert transport.send(outgoing(message_id="<2@w>"), deadline=soon()).startswith("250")
        transport.close()

    assert server.taken == {"<0@w>": 1, "<2@w>": 1}


def test_a_content_that_cannot_be_made_takes_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it goes on, nothing leaves behind it: that message is somebody else's by then."""
    with OddServer() as server:
        transport, line = known(server)
        mail, behind = mails(2)
        assert begun(line, mail) is Heard.GO_ON
        assert line.announce_early(behind)
        with monkeypatch.context() as lacking:
            lacking.setattr("alerting.transports.email.mail.Mail.leaving", no_memory)
            with pytest.raises(MemoryError):
                line.hand_over()

        assert line.finish(mail, deadline=soon()).startswith("250")
        assert transport.send(behind, deadline=soon()).startswith("250")
        transport.close()

    assert server.taken == {"<0@w>": 1, "<1@w>": 1}
    assert (server.connections, server.together()) == (1, 0)


def no_memory(*_: Any) -> bytes:
    raise MemoryError


def test_what_was_taken_does_not_leave_again_nor_what_is_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with OddServer() as server:
        transport, line = known(server)
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line) is Heard.TAKEN
        with monkeypatch.context() as lacking:
            lacking.setattr("alerting.transports.email.session.Session.getreply", no_memory)
            with pytest.raises(MemoryError):
                line.taken()

        line.finish(mail, deadline=soon())
        assert transport.send(behind, deadline=soon()).startswith("250")
        transport.close()

    assert server.taken == {"<0@w>": 1, "<1@w>": 1}
    assert server.connections == 2


def test_an_answer_that_could_not_be_read_is_not_taken_for_the_next_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    with OddServer() as server:
        transport, line = known(server)
        mail, other = mails(2)
        assert begun(line, mail) is Heard.GO_ON
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        with monkeypatch.context() as lacking:
            lacking.setattr("alerting.transports.email.session.Session.getreply", no_memory)
            with pytest.raises(MemoryError):
                line.taken()

        line.finish(mail, deadline=soon())
        assert transport.send(other, deadline=soon()) == "250 2.0.0 taken"
        transport.close()

    assert server.taken == {"<0@w>": 1, "<1@w>": 1}


def test_a_connection_that_was_left_in_the_middle_is_used_for_no_other_mail() -> None:
    """The server waits for the content of the one behind: it would take any mail for that."""
    with OddServer() as server:
        transport, line = known(server)
        mail, behind = mails(2)
        handed_over(line, mail, behind)

        assert transport.line() is None
        assert transport.send(outgoing(message_id="<2@w>"), deadline=soon()) == "250 2.0.0 taken"
        transport.close()

    assert server.taken == {"<0@w>": 1, "<2@w>": 1}
    assert server.connections == 2


def test_where_contents_are_slow_nothing_is_announced_early() -> None:
    """Each would cost a connection, for a thread waits for the content alone."""
    with OddServer() as server:
        transport, line = known(server)
        server.content_seconds = 2.0
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line, seconds=0.2) is Heard.NOTHING

        assert line.finish(mail, deadline=soon()).startswith("250")
        assert not line_of(transport).takes_early
        transport.close()


@pytest.mark.parametrize("answer", ["503 5.5.1 nested MAIL", "451 4.3.0 not now", "554 5.5.0 synchronization"])
def test_a_sender_that_is_refused_early_is_asked_again(answer: str) -> None:
    with OddServer() as server:
        transport, line = known(server)
        server.early_answer = answer
        mail, behind = mails(2)
        handed_over(line, mail, behind)
        assert hear(line) is Heard.TAKEN
        line.taken()
        assert follow(line) is Heard.ELSE

        assert line.finish(behind, deadline=soon()) == "250 2.0.0 taken"
        assert not line_of(transport).takes_early
        transport.close()

    assert server.taken == {"<0@w>": 1, "<1@w>": 1}


def test_over_tls_too(certificate: tuple[Path, Path]) -> None:
    server = SmtpServer(implicit_tls=tls_server_context(certificate)).start()
    trusted = ssl.create_default_context(cafile=str(certificate[1]))
    transport = mailer(server, tls="implicit", tls_context=lambda: trusted)

    line = line_of(transport)
    answers = sent_in_a_row(line, mails(5))
    assert begun(line, outgoing()) is Heard.GO_ON
    assert line.announce_early(outgoing())
    line.give_up()
    transport.close()
    server.stop()

    assert [answer[:3] for answer in answers] == ["250"] * 5
    assert server.connections == 1
    assert server.message_ids() == {f"<{number}@w>": 1 for number in range(5)}


@pytest.mark.parametrize("tls", ["none", "implicit"])
def test_of_what_does_not_fit_into_the_buffers_the_rest_follows(tls: str, certificate: tuple[Path, Path]) -> None:
    server = SmtpServer(implicit_tls=tls_server_context(certificate) if tls == "implicit" else None).start()
    trusted = ssl.create_default_context(cafile=str(certificate[1]))
    transport = mailer(server, tls=tls, tls_context=lambda: trusted)
    line = line_of(transport)
    sent_in_a_row(line, mails(2))
    mail, behind = outgoing(message_id="<large@w>", text="a line of words\n" * 1_000_000), mails(3)[2]
    assert begun(line, mail) is Heard.GO_ON
    assert line.announce_early(behind)
    assert not line.hand_over()

    assert line.finish(mail, deadline=soon(30)).startswith("250")
    assert transport.send(behind, deadline=soon()).startswith("250")
    transport.close()
    server.stop()

    assert server.message_ids() == {"<0@w>": 1, "<1@w>": 1, "<large@w>": 1, "<2@w>": 1}
    assert server.mails[2].text.splitlines() == mail.text.splitlines()


def test_one_connection_at_a_time_tries_a_server() -> None:
    early = EarlyEnvelopes("mail.example:25", monotonic=lambda: 100.0)
    assert early.may_leave

    early.trial_begins()
    assert not early.may_leave

    early.answered(Order.KEPT)
    assert early.may_leave


@pytest.mark.parametrize("was_known", [True, False])
def test_after_trouble_a_server_is_tried_again_in_a_minute(was_known: bool) -> None:
    now = 100.0
    early = EarlyEnvelopes("mail.example:25", monotonic=lambda: now)
    early.trial_begins()
    if was_known:
        early.answered(Order.KEPT)
        early.pause()

    now += 59.0
    assert not early.may_leave
    now += 1.0

    assert early.may_leave
    assert early.order is Order.UNKNOWN
