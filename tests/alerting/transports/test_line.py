"""An open connection that nobody waits for: what it hears, and how somebody who waits goes on with what it began."""

from __future__ import annotations

import select
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from alerting.models import ErrorKind
from alerting.transports import Heard, Line, NotHandedOver, Outgoing, TransportError
from alerting.transports.email import EmailTransport
from tests.alerting.transports.test_email import certificate, mailer, outgoing, soon, tls_server_context
from tests.alerting.transports.test_exchange import Script, scripts
from tests.smtp_server import SmtpServer

__all__ = ["certificate", "scripts"]


@pytest.fixture
def server() -> Any:
    running = SmtpServer().start()
    yield running
    running.stop()


def line_of(transport: EmailTransport) -> Line:
    transport.open(deadline=soon())
    line = transport.line()
    assert line is not None
    return line


def hear(line: Line, *, seconds: float = 5.0) -> Heard:
    """What it hears after it had nothing to hear."""
    until = time.monotonic() + seconds
    while (heard := line.hear()) is Heard.NOTHING and time.monotonic() < until:
        select.select([line], [], [], 0.1)
    return heard


def begun(line: Line, mail: Outgoing) -> Heard:
    assert line.begin(mail)
    return hear(line)


def test_mails_leave_one_after_another_and_nobody_waits(server: SmtpServer) -> None:
    transport = mailer(server)
    line = line_of(transport)

    for number in range(3):
        assert begun(line, outgoing(message_id=f"<{number}@w>")) is Heard.GO_ON
        assert line.hand_over()
        assert hear(line) is Heard.TAKEN
        assert line.taken().startswith("250")
    transport.close()

    assert sorted(server.message_ids()) == ["<0@w>", "<1@w>", "<2@w>"]
    assert server.connections == 1


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_secured_connection_is_a_line_too(tls: str, certificate: tuple[Path, Path]) -> None:
    context = tls_server_context(certificate)
    options = {"tls_context": context, "require_starttls": True} if tls == "starttls" else {}
    server = SmtpServer(options=options, implicit_tls=context if tls == "implicit" else None).start()
    trusting = {"tls": tls, "tls_context": lambda: ssl.create_default_context(cafile=str(certificate[1]))}
    transport = mailer(server, **trusting)
    line = line_of(transport)

    assert begun(line, outgoing()) is Heard.GO_ON
    assert line.hand_over()
    assert hear(line) is Heard.TAKEN
    assert line.taken().startswith("250")
    waiting = transport.send(outgoing(message_id="<waits@w>"), deadline=soon())
    transport.close()
    server.stop()

    assert waiting.startswith("250")
    assert server.connections == 1 if tls == "implicit" else server.connections >= 1
    assert len(server.mails) == 2


@pytest.mark.parametrize("sent", [True, False], ids=["after the content", "before it"])
def test_a_refusal_is_the_same_to_whoever_goes_on(sent: bool, server: SmtpServer) -> None:
    refusal = "550 5.1.1 nobody here"
    (server.data_answers if sent else server.rcpt_answers)["ana@moana.example"] = refusal
    transport = mailer(server)
    line, mail = line_of(transport), outgoing()

    heard = begun(line, mail)
    if sent:
        assert heard is Heard.GO_ON
        assert line.hand_over()
        heard = hear(line)
    assert heard is Heard.ELSE
    with pytest.raises(TransportError) as refused:
        line.finish(mail, deadline=soon())

    assert refused.value.kind == ErrorKind.PERMANENT
    assert refused.value.answer == refusal
    assert transport.send(outgoing(address="ben@moana.example"), deadline=soon()).startswith("250")
    assert server.connections == 1  # after a RSET it is as good as before
    transport.close()


def test_a_connection_that_was_closed_meanwhile_costs_a_new_one_and_no_attempt(server: SmtpServer) -> None:
    server.most_mails = 1
    transport = mailer(server)
    transport.send(outgoing(message_id="<1@w>"), deadline=soon())
    line, mail = line_of(transport), outgoing(message_id="<2@w>")

    assert begun(line, mail) is Heard.ELSE
    handovers: list[None] = []
    answer = line.finish(mail, deadline=soon(), handover=lambda: handovers.append(None))

    assert answer.startswith("250")
    assert handovers
    assert server.connections == 2
    assert set(server.message_ids().values()) == {1}
    transport.close()


def test_a_connection_that_is_lost_after_the_content_may_have_delivered_it(server: SmtpServer) -> None:
    server.drop_after_data["ana@moana.example"] = 1
    line, mail = line_of(mailer(server)), outgoing()

    assert begun(line, mail) is Heard.GO_ON
    assert line.hand_over()
    assert hear(line) is Heard.ELSE
    with pytest.raises(TransportError) as lost:
        line.finish(mail, deadline=soon())

    assert lost.value.unknown
    assert len(server.mails) == 1


def test_a_message_may_be_kept_back_when_the_server_waits_for_it(server: SmtpServer) -> None:
    transport = mailer(server)
    line, mail = line_of(transport), outgoing()

    def no() -> None:
        raise NotHandedOver

    assert begun(line, mail) is Heard.GO_ON
    with pytest.raises(NotHandedOver):
        line.finish(mail, deadline=soon(), handover=no)

    assert server.mails == []
    assert transport.send(outgoing(), deadline=soon()).startswith("250")
    transport.close()


@pytest.mark.parametrize("tls", ["none", "implicit"])
def test_of_a_mail_that_does_not_fit_into_the_buffers_the_rest_follows(
    tls: str, certificate: tuple[Path, Path]
) -> None:
    implicit = tls_server_context(certificate) if tls == "implicit" else None
    server = SmtpServer(implicit_tls=implicit).start()
    trusting = {"tls": tls, "tls_context": lambda: ssl.create_default_context(cafile=str(certificate[1]))}
    transport = mailer(server, **trusting)
    line, mail = line_of(transport), outgoing(text="a line of words\n" * 1_000_000)

    assert begun(line, mail) is Heard.GO_ON
    assert not line.hand_over()
    assert line.finish(mail, deadline=soon(30)).startswith("250")

    assert len(server.mails) == 1
    assert server.mails[0].text.splitlines() == mail.text.splitlines()
    transport.close()
    server.stop()


def test_what_was_taken_does_not_leave_again_whatever_fails_then(
    server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> str:
        raise MemoryError

    transport, mail = mailer(server), outgoing()
    monkeypatch.setattr("alerting.transports.email.connection._told", no_memory)
    line = line_of(transport)

    assert begun(line, mail) is Heard.GO_ON
    assert line.hand_over()
    assert hear(line) is Heard.TAKEN
    with pytest.raises(MemoryError):
        line.taken()
    line.finish(mail, deadline=soon())

    assert len(server.mails) == 1
    transport.close()


def test_a_server_that_takes_its_time_is_waited_for_until_the_deadline(server: SmtpServer) -> None:
    server.delay = 60
    line, mail = line_of(mailer(server, timeout=30.0)), outgoing()

    assert begun(line, mail) is Heard.GO_ON
    assert line.hand_over()
    assert hear(line, seconds=0.2) is Heard.NOTHING
    began = time.monotonic()
    with pytest.raises(TransportError, match="deadline"):
        line.finish(mail, deadline=soon(0.5))

    assert 0.4 < time.monotonic() - began < 5


def test_a_mail_that_cannot_be_made_says_so_to_whoever_goes_on(
    server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError

    transport = mailer(server)
    line, mail = line_of(transport), outgoing()
    monkeypatch.setattr("alerting.transports.email.mail.mail_bytes", broken)

    with pytest.raises(ZeroDivisionError):
        line.begin(mail)
    with pytest.raises(ZeroDivisionError):
        line.finish(mail, deadline=soon())
    monkeypatch.undo()

    assert transport.send(outgoing(), deadline=soon()).startswith("250")
    assert len(server.mails) == 1
    transport.close()


def test_there_is_no_line_without_a_connection_nor_to_a_server_that_wants_to_be_asked_one_by_one(
    server: SmtpServer,
) -> None:
    server.pipelining = False
    transport = mailer(server)

    assert transport.line() is None
    transport.open(deadline=soon())
    assert transport.line() is None
    transport.close()


@pytest.mark.parametrize(
    ("answers", "heard"),
    [
        ({}, Heard.GO_ON),
        ({"MAIL": "250-well\r\n250 done", "DATA": "354-go\r\n354 on"}, Heard.GO_ON),
        ({"MAIL": "250"}, Heard.GO_ON),
        ({"DATA": "250 what?"}, Heard.ELSE),
        ({"RCPT": "450 4.2.0 later", "DATA": "503 5.5.1 nobody"}, Heard.ELSE),
        ({"MAIL": "nonsense"}, Heard.ELSE),
        ({"MAIL": "2500 ok"}, Heard.ELSE),
    ],
)
def test_only_the_answers_of_a_mail_that_is_wanted_are_known(
    answers: dict[str, str], heard: Heard, scripts: list[Script]
) -> None:
    script = Script(answers)
    scripts.append(script)
    transport = mailer(script)  # type: ignore[arg-type]  # it needs no more than a port
    line = line_of(transport)

    assert line.begin(outgoing())
    assert hear(line, seconds=0.3) is heard
    transport.close()
