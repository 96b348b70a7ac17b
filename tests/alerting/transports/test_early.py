"""An envelope that leaves behind the content of the mail before it, to servers that take it in their own ways."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.models import ErrorKind
from alerting.transports import Heard, Line, Outgoing, TransportError
from alerting.transports.email import EmailTransport
from alerting.transports.email.early import EarlyEnvelopes, Order
from tests.alerting.transports.test_email import mailer, outgoing, soon
from tests.alerting.transports.test_line import begun, hear, line_of
from tests.odd_smtp_server import OddServer


def mails(count: int) -> list[Outgoing]:
    return [outgoing(message_id=f"<{number}@w>", address=f"r{number}@moana.example") for number in range(count)]


def to(server: OddServer, **changes: Any) -> EmailTransport:
    return mailer(server, **changes)  # type: ignore[arg-type]  # it needs no more than a port


def sent_in_a_row(line: Line, several: list[Outgoing]) -> list[str]:
    """Each announced behind the one before it. The answers."""
    answers, heard = [], begun(line, several[0])
    for behind in [*several[1:], None]:
        assert heard is Heard.GO_ON
        if behind is not None:
            assert line.takes_early
            assert line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        answers.append(line.taken())
        if behind is not None:
            heard = line.follow()
            heard = hear(line) if heard is Heard.NOTHING else heard
    return answers


def tried(server: OddServer, *several: Outgoing) -> tuple[EmailTransport, Line]:
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
    assert (server.connections, server.together()) == (1, 4)


def test_an_answer_to_the_envelope_is_never_taken_for_the_contents() -> None:
    """Nor a refusal for somebody's, where the order is another."""
    with OddServer(content_last=True, answers={".r0@moana.example": "554 5.7.1 spam"}) as server:
        transport, (mail, behind) = to(server), mails(2)
        line = line_of(transport)
        assert begun(line, mail) is Heard.GO_ON
        assert line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.ELSE

        with pytest.raises(TransportError, match="may have arrived") as fault:
            line.finish(mail, deadline=soon())
        answer = transport.send(behind, deadline=soon())
        transport.close()

    assert (fault.value.unknown, fault.value.kind) == (True, ErrorKind.TRANSIENT)
    assert answer.startswith("250")
    assert server.taken == {"<1@w>": 1}


def test_a_content_that_is_refused_is_told_and_the_mail_behind_it_is_as_if_it_was_never_announced() -> None:
    with OddServer() as server:
        transport, line = tried(server)
        server.answers[".r0@moana.example"] = "554 5.7.1 spam"
        mail, behind = mails(2)
        assert begun(line, mail) is Heard.GO_ON
        assert line.announce_early(behind)
        assert line.hand_over()
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
        transport, line = tried(server)
        server.answers["r1@moana.example"] = "550 5.1.1 nobody"
        mail, behind = mails(2)
        assert begun(line, mail) is Heard.GO_ON
        assert line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        assert line.taken().startswith("250")

        heard = line.follow()
        assert (hear(line) if heard is Heard.NOTHING else heard) is Heard.ELSE
        with pytest.raises(TransportError) as refused:
            line.finish(behind, deadline=soon())
        transport.send(outgoing(message_id="<2@w>"), deadline=soon())
        transport.close()

    assert refused.value.bounced
    assert server.taken == {"<0@w>": 1, "<2@w>": 1}
    assert server.connections == 1


def test_what_was_announced_and_given_up_does_not_leave() -> None:
    with OddServer() as server:
        transport, line = tried(server)
        mail, behind = mails(2)
        assert begun(line, mail) is Heard.GO_ON
        assert line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        line.taken()
        line.follow()

        line.give_up()
        transport.send(outgoing(message_id="<2@w>"), deadline=soon())
        transport.close()

    assert server.taken == {"<0@w>": 1, "<2@w>": 1}
    assert server.connections == 2


@pytest.mark.parametrize("way", [{"swallows": True}, {"one_each": True}])
def test_a_server_that_cannot_be_asked_early_is_not_asked_for_ever(way: dict[str, bool]) -> None:
    several, asked = mails(6), 0
    with OddServer(**way) as server:
        transport = to(server)
        for mail, behind in zip(several[::2], several[1::2], strict=True):
            line = line_of(transport)
            assert begun(line, mail) is Heard.GO_ON
            asked += line.takes_early
            assert line.announce_early(behind)
            assert line.hand_over()
            hear(line, seconds=0.3)
            assert line.finish(mail, deadline=soon()).startswith("250")
            assert transport.send(behind, deadline=soon()).startswith("250")
            transport.close()
        welcome = line_of(transport).takes_early
        transport.close()

    assert (asked, welcome) == (3, False)
    assert server.taken == {f"<{number}@w>": 1 for number in range(6)}


def test_an_early_envelope_that_is_not_answered_leaves_again_elsewhere_and_none_is_tried_again() -> None:
    with OddServer() as server:
        transport, line = tried(server)
        server.envelope_seconds = 30.0
        mail, behind = mails(2)
        assert begun(line, mail) is Heard.GO_ON
        assert line.announce_early(behind)
        assert line.hand_over()
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
        transport, line = tried(server)
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
        transport, line = tried(server)
        mail, behind = outgoing(message_id="<0@w>"), outgoing(address="nobody")
        assert begun(line, mail) is Heard.GO_ON
        assert not line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        assert line.taken().startswith("250")
        transport.close()

    assert server.taken == {"<0@w>": 1}
    assert server.together() == 1


def test_a_mail_that_cannot_be_made_harms_none_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from alerting.transports.email import mail as made

    real = made.mail_bytes

    def broken(mail: Outgoing, **rest: Any) -> bytes:
        if mail.message_id == "<1@w>":
            raise ZeroDivisionError
        return real(mail, **rest)

    monkeypatch.setattr(made, "mail_bytes", broken)
    with OddServer() as server:
        transport, line = tried(server, outgoing(message_id="<a@w>"), outgoing(message_id="<b@w>"))
        mail, behind = mails(2)
        assert begun(line, mail) is Heard.GO_ON
        assert line.announce_early(behind)
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        line.taken()
        heard = line.follow()
        assert (hear(line) if heard is Heard.NOTHING else heard) is Heard.GO_ON
        with pytest.raises(ZeroDivisionError):
            line.hand_over()
        with pytest.raises(ZeroDivisionError):
            line.finish(behind, deadline=soon())
        assert transport.send(outgoing(message_id="<2@w>"), deadline=soon()).startswith("250")
        transport.close()

    assert server.taken == {"<0@w>": 1, "<2@w>": 1}


def test_one_mail_at_a_time_tries_a_server_and_after_three_troubles_none() -> None:
    early = EarlyEnvelopes()

    for _ in range(3):
        assert early.welcome
        early.leaves()
        assert not early.welcome
        early.troubled()

    assert not early.welcome


def test_once_the_order_is_known_trouble_is_the_mails_own() -> None:
    early = EarlyEnvelopes()
    early.leaves()
    early.answered(Order.KEPT)

    for _ in range(5):
        early.leaves()
        early.troubled()
    assert early.welcome

    early.unanswered()
    assert not early.welcome
