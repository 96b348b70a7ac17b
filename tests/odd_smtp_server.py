"""An SMTP server that offers PIPELINING and then takes what comes behind a content in a way of its own.

def test_x(settings):
    with OddServer(swallows=True) as server:
        settings.SMTP_PORT = server.port
        …
        assert server.taken["<1@w>"] == 1
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

_MESSAGE_ID = re.compile(rb"^Message-ID: (\S+)", re.MULTILINE)
_RECIPIENT = re.compile(rb"TO:<([^>]*)>")


@dataclass
class OddServer:
    """In order, unless it is told otherwise. `pieces`: what came in one read each time, from all connections.

    `answers` by recipient: to RCPT, or to the content where they begin with a dot.
    """

    swallows: bool = False  # what came together with the end of a content, behind it
    content_last: bool = False  # the envelope that came with it is answered first
    one_each: bool = False  # it closes a connection after its first mail
    drips: bool = False  # answers come byte by byte
    content_seconds: float = 0.0  # before the answer to a content
    envelope_seconds: float = 0.0  # before the answer to an envelope that came behind a content
    owed_seconds: float = 0.01  # before an answer to a content that comes last
    early_answer: str = ""  # to a MAIL that came behind a content
    slow: dict[str, float] = field(default_factory=dict)  # before the answer to a content, by recipient
    answers: dict[str, str] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)  # by Message-ID
    contents: list[tuple[str, bytes]] = field(default_factory=list)  # each with the recipient of its envelope
    pieces: list[bytes] = field(default_factory=list)
    connections: int = 0
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=100))

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def together(self) -> int:
        """How often an envelope came in one piece with the content before it."""
        return sum(b"\r\n.\r\nMAIL FROM:" in piece for piece in self.pieces)

    def __enter__(self) -> OddServer:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_Talk(self, client).run, daemon=True).start()


class _Talk:
    """With one client."""

    def __init__(self, server: OddServer, client: socket.socket) -> None:
        self._server = server
        self._client = client
        self._unread = b""
        self._recipient = ""
        self._content: bytes | None = None  # of the mail that is coming in
        self._owed = ""  # an answer that is held back
        self._is_early = False  # what comes next came behind a content

    def run(self) -> None:
        with self._client:
            try:
                self._say("220 odd")
                while received := self._client.recv(65536):
                    self._server.pieces.append(received)
                    self._unread += received
                    while b"\r\n" in self._unread:
                        line, _, self._unread = self._unread.partition(b"\r\n")
                        if not self._take(line):
                            return
                    self._pay()
            except OSError:
                return

    def _take(self, line: bytes) -> bool:
        """False when that was the last thing that it takes."""
        if self._content is not None:
            return self._take_content(line)
        word, server = line[:4].upper(), self._server
        if word == b"EHLO":
            self._say("250-odd\r\n250 PIPELINING")
        elif word == b"RCPT":
            found = _RECIPIENT.search(line)
            self._recipient = found[1].decode() if found else ""
            self._say(self._answer_for(self._recipient) or "250 2.1.5 known")
        elif word == b"DATA":
            if self._answer_for(self._recipient):
                self._say("554 5.5.1 for nobody")
            else:
                self._content = b""
                self._say("354 go on")
        else:
            self._say(server.early_answer if self._is_early and server.early_answer else "250 2.1.0 well")
        self._is_early = False
        return word != b"QUIT"

    def _take_content(self, line: bytes) -> bool:
        server, content = self._server, self._content
        assert content is not None
        if line != b".":
            self._content = content + line + b"\n"
            return True
        self._content = None
        time.sleep(server.slow.get(self._recipient, server.content_seconds))
        answer = server.answers.get(f".{self._recipient}", "250 2.0.0 taken")
        server.contents.append((self._recipient, content))
        found = _MESSAGE_ID.search(content)
        if found and answer.startswith("250"):
            server.taken[found[1].decode()] += 1
        if server.swallows:
            self._unread = b""
        if server.content_last and self._unread:
            self._owed = answer
        else:
            self._say(answer)
        self._is_early = bool(self._unread)
        if self._is_early:
            time.sleep(server.envelope_seconds)
        return not server.one_each

    def _answer_for(self, recipient: str) -> str:
        return self._server.answers.get(recipient, "")

    def _pay(self) -> None:
        if self._owed:
            owed, self._owed = self._owed, ""
            time.sleep(self._server.owed_seconds)
            self._say(owed)

    def _say(self, answer: str) -> None:
        said = f"{answer}\r\n".encode()
        step = 1 if self._server.drips else len(said)
        for at in range(0, len(said), step):
            self._client.sendall(said[at : at + step])
