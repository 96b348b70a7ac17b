"""What one bare process carries on this machine: `python -m benchmarks.sender.bare MESSAGES CONNECTIONS`.

A client without a queue, without records and without threads: mails that are written already, one after another on each
connection, each envelope in one piece with the content before it, as ours sends them. It shares the processors with the
mail server as the senders do.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import sys
from collections.abc import Generator, Iterable, Iterator

import django

from benchmarks.sender.mails import FROM, Mail, mail

LONGEST_SILENCE_SECONDS = 10.0
_REFUSED = re.compile(rb"^[45]", re.MULTILINE)
_WHOLE = re.compile(rb"^\d{3} .*\n\Z", re.MULTILINE)
# Answers of one line each: to MAIL, RCPT and DATA, and to a content.
_OF_ENVELOPE, _OF_CONTENT = 3, 1

# What to send next; is sent what the server answered.
Dialogue = Generator[bytes, bytes, None]


class Refused(Exception):
    """The server wants no content for an envelope. It says so in these words."""


def main(messages: int, connections: int) -> None:
    django.setup()
    from benchmarks.sender.measured import tell

    mails = [pieces(mail(number)) for number in range(messages)]
    answers: list[bytes] = []

    def send() -> None:
        answers.extend(answers_to(mails, port=int(os.environ["SMTP_PORT"]), connections=connections))

    tell(send, messages=messages, sent=lambda: sum(answer.startswith(b"250") for answer in answers))


def answers_to(mails: Iterable[tuple[bytes, bytes]], *, port: int, connections: int) -> list[bytes]:
    """What the server on loopback says to each of these mails, given as envelope and content, and to the envelope that
    came with it. Raises `Refused` for an envelope that it refuses, `TimeoutError`, and `OSError` where a connection is
    lost."""
    answers: list[bytes] = []
    waiting = iter(mails)
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            _begin(selector, port, _dialogue(waiting, answers))
        while selector.get_map():
            events = selector.select(LONGEST_SILENCE_SECONDS)
            if not events:
                raise TimeoutError(f"the server said nothing for {LONGEST_SILENCE_SECONDS:g} s")
            for key, _ in events:
                _go_on(selector, key)
    return answers


def pieces(one: Mail) -> tuple[bytes, bytes]:
    """Envelope and content."""
    envelope = f"MAIL FROM:<watchkeeper@bench.example>\r\nRCPT TO:<{one.address}>\r\nDATA\r\n"
    head = f"From: {FROM}\r\nTo: {one.address}\r\nSubject: {one.subject}\r\n\r\n"
    return envelope.encode(), f"{head}{one.text}{one.html}".encode() + b"\r\n.\r\n"


def _dialogue(waiting: Iterator[tuple[bytes, bytes]], answers: list[bytes]) -> Dialogue:
    """With one server, over one connection."""
    hello = yield b"EHLO bench.example\r\n"
    while not _WHOLE.search(hello):
        hello += yield b""
    mail = next(waiting, None)
    if mail is not None:
        _welcome((yield from _answers(mail[0], _OF_ENVELOPE)))
    while mail is not None:
        behind = next(waiting, None)
        if behind is None:
            answers.append((yield from _answers(mail[1], _OF_CONTENT)))
        else:
            both = yield from _answers(mail[1] + behind[0], _OF_CONTENT + _OF_ENVELOPE)
            _welcome(both)
            answers.append(both)
        mail = behind


def _answers(said: bytes, number: int) -> Generator[bytes, bytes, bytes]:
    """So many: in whatever order, if all are good."""
    heard = yield said
    while heard.count(b"\n") < number and not _REFUSED.search(heard):
        heard += yield b""
    return heard


def _welcome(heard: bytes) -> None:
    if _REFUSED.search(heard) or b"354 " not in heard:
        raise Refused(heard)


def _begin(selector: selectors.BaseSelector, port: int, dialogue: Dialogue) -> None:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.recv(1024)  # its greeting
    connection.sendall(next(dialogue))
    selector.register(connection, selectors.EVENT_READ, dialogue)


def _go_on(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    connection = key.fileobj
    assert isinstance(connection, socket.socket)
    heard = connection.recv(8192)
    # at once: the server holds back its next answer until it knows that this one came
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    if not heard:
        raise ConnectionError("the server closed a connection")
    try:
        connection.sendall(key.data.send(heard))
    except StopIteration:
        selector.unregister(connection)
        connection.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
