"""One mail over an SMTP session with PIPELINING, against a server that says what it is told to say."""

from __future__ import annotations

import smtplib
import socket
import threading
from collections.abc import Iterator

import pytest

from alerting.transports.email.exchange import content, envelope, on_the_wire
from alerting.transports.email.policy import Stage


class Script:
    """Answers each command line in turn, and keeps what it heard."""

    def __init__(self, answers: dict[str, str], *, pipelining: bool = True) -> None:
        self.heard: list[str] = []
        self.reads: list[int] = []  # lines that came in one read
        self._answers = answers
        self._extensions = "250-here\r\n250 PIPELINING\r\n" if pipelining else "250 here\r\n"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            client.sendall(b"220 here\r\n")
            in_content = False
            while received := client.recv(65536):
                lines = received.decode().split("\r\n")[:-1]
                self.reads.append(len(lines))
                for line in lines:
                    self.heard.append(line)
                    if in_content:
                        if line == ".":
                            in_content = False
                            client.sendall(self._answers.get(".", "250 2.0.0 taken").encode() + b"\r\n")
                        continue
                    word = line.split(" ")[0].upper()
                    default = {"EHLO": self._extensions.strip(), "DATA": "354 go on"}.get(word, "250 2.1.0 ok")
                    answer = self._answers.get(word, default)
                    in_content = answer.startswith("354")
                    client.sendall(answer.encode() + b"\r\n")


@pytest.fixture
def scripts() -> Iterator[list[Script]]:
    made: list[Script] = []
    yield made
    for script in made:
        script.close()


def session_with(script: Script) -> smtplib.SMTP:
    session = smtplib.SMTP("127.0.0.1", script.port, timeout=5)
    session.ehlo_or_helo_if_needed()
    return session


def run(scripts: list[Script], answers: dict[str, str], **options: bool) -> tuple[Script, smtplib.SMTP]:
    script = Script(answers, **options)
    scripts.append(script)
    return script, session_with(script)


def test_the_envelope_goes_out_in_one_piece_where_the_server_offers_it(scripts: list[Script]) -> None:
    script, session = run(scripts, {})

    refused = envelope(session, "w@x.example", "ana@y.example")
    answer = content(session, on_the_wire(b"Subject: one\r\n\r\n.dot\r\n"))

    assert refused is None
    assert (answer.code, answer.text) == (250, b"2.0.0 taken")
    assert script.heard[1:] == [
        "MAIL FROM:<w@x.example>", "RCPT TO:<ana@y.example>", "DATA", "Subject: one", "", "..dot", ".",
    ]  # fmt: skip
    assert script.reads[1] == 3
    session.close()


def test_a_server_without_pipelining_is_asked_one_by_one(scripts: list[Script]) -> None:
    script, session = run(scripts, {}, pipelining=False)

    assert envelope(session, "w@x.example", "ana@y.example") is None
    assert script.reads[1:] == [1, 1, 1]
    session.close()


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("answers", "stage", "code"),
    [
        ({"MAIL": "550 5.7.1 not you", "RCPT": "503 5.5.1 no", "DATA": "503 5.5.1 no"}, Stage.MAIL, 550),
        ({"RCPT": "550 5.1.1 nobody", "DATA": "554 5.5.1 no recipients"}, Stage.RCPT, 550),
        ({"DATA": "451 4.3.0 later"}, Stage.DATA, 451),
    ],
)
def test_the_first_refusal_is_the_answer_and_the_session_goes_on(
    scripts: list[Script], pipelining: bool, answers: dict[str, str], stage: Stage, code: int
) -> None:
    _, session = run(scripts, answers, pipelining=pipelining)

    refused = envelope(session, "w@x.example", "ana@y.example")

    assert refused is not None
    assert (refused.stage, refused.code) == (stage, code)
    assert session.rset()[0] == 250
    session.close()


def test_a_server_that_wants_content_for_nobody_gets_an_empty_mail(scripts: list[Script]) -> None:
    script, session = run(scripts, {"RCPT": "550 5.1.1 nobody", ".": "554 5.5.1 no recipients"})

    refused = envelope(session, "w@x.example", "ana@y.example")

    assert refused is not None
    assert (refused.stage, script.heard[-1]) == (Stage.RCPT, ".")
    assert session.rset()[0] == 250
    session.close()


def test_a_server_that_closes_is_not_asked_further(scripts: list[Script]) -> None:
    _, session = run(scripts, {"MAIL": "421 4.3.2 shutting down"})

    refused = envelope(session, "w@x.example", "ana@y.example")

    assert refused is not None
    assert refused.code == 421


@pytest.mark.parametrize(
    ("mail", "wire"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".a\r\n..b\r\n.\r\n", b"..a\r\n...b\r\n..\r\n.\r\n"),
        (b"", b"\r\n.\r\n"),
    ],
)
def test_dots_are_stuffed_and_the_end_is_marked(mail: bytes, wire: bytes) -> None:
    assert on_the_wire(mail) == wire
