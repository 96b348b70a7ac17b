"""A real SMTP server on loopback, which can be told to misbehave.

server = SmtpServer().start()
server.rcpt_answers["bad@example.org"] = "550 5.1.1 no such user"
…
assert server.mails[0].to == ["ana@example.org"]
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, AnyStr

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Mail:
    """A mail that was accepted, or dropped after it was taken."""

    to: list[str]
    raw: bytes
    at: float
    sender: str = ""  # of the envelope

    @property
    def parsed(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def message_id(self) -> str:
        return str(self.parsed["Message-ID"]).strip()

    @property
    def subject(self) -> str:
        return str(self.parsed["Subject"])

    @property
    def text(self) -> str:
        part = self.parsed.get_body(("plain",))
        return part.get_content() if part else ""


@dataclass
class SmtpServer:
    """`rcpt_answers` and `data_answers` by recipient; a list gives one answer after another, the last for good."""

    rcpt_answers: dict[str, str | list[str]] = field(default_factory=dict)
    data_answers: dict[str, str | list[str]] = field(default_factory=dict)
    mail_answer: str = ""  # to every MAIL FROM
    drop_after_data: Counter[str] = field(default_factory=Counter)  # how often, by recipient: accepted, never answered
    mute: bool = False  # it takes connections and says nothing to anybody
    hang: set[str] = field(default_factory=set)  # no answer to DATA for these
    delay: float = 0.0  # before the answer to DATA
    pipelining: bool = True  # whether it takes an envelope in one piece (RFC 2920)
    before_answer: Callable[[str], None] | None = None  # called with the recipient while the client waits
    most_connections: int = 0  # one more is turned away with 421; 0 for no limit
    most_mails: int = 0  # for each connection; the next is answered with 421; 0 for no limit
    ports: dict[str, int] = field(default_factory=dict)  # the client's port, by the last recipient it named
    mails: list[Mail] = field(default_factory=list)
    unanswered: list[Mail] = field(default_factory=list)  # that came while it hung
    connections: int = 0
    port: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    implicit_tls: ssl.SSLContext | None = None
    _controller: _Controller | None = None
    sessions: set[_Session] = field(default_factory=set)

    def start(self) -> SmtpServer:
        """Listen, on the same port as before if it was stopped."""
        self.port = self.port or _free_port()
        self._controller = _Controller(
            self, hostname="127.0.0.1", port=self.port, ssl_context=self.implicit_tls, **self.options
        )
        self._controller.start()
        return self

    def stop(self) -> None:
        """Cut all connections, and refuse new ones from now on."""
        if self._controller is not None:
            for session in list(self.sessions):
                self._controller.loop.call_soon_threadsafe(session.cut)
            self._controller.stop()
            self._controller = None

    def to(self, address: str) -> list[Mail]:
        return [mail for mail in self.mails if address in mail.to]

    def message_ids(self) -> Counter[str]:
        return Counter(mail.message_id for mail in self.mails)

    def wait_for(self, count: int, timeout: float = 15.0) -> bool:
        """Waits until that many mails have come in."""
        deadline = time.monotonic() + timeout
        while len(self.mails) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(self.mails) >= count


class _Session(SMTP):
    """One connection; it can be mute, and cut from outside."""

    def __init__(self, ours: SmtpServer, **options: Any) -> None:
        super().__init__(_Handler(ours), **options)
        self._ours = ours
        self._turned_away = False
        self.begun = 0  # mails

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if 0 < self._ours.most_connections <= len(self._ours.sessions):
            self._turned_away = True
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"421 4.3.2 too many connections\r\n")
            transport.close()
            return
        self._ours.sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._ours.sessions.discard(self)
        if not self._turned_away:
            super().connection_lost(error)

    async def push(self, status: AnyStr) -> None:
        while self._ours.mute:
            await asyncio.sleep(0.02)
        await super().push(status)

    def cut(self) -> None:
        """At once, without a word."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def hang_up(self) -> None:
        """After what was said."""
        if self.transport is not None:
            self.transport.close()


class _Controller(Controller):
    """aiosmtpd's own thread with our sessions."""

    def __init__(self, ours: SmtpServer, **options: Any) -> None:
        super().__init__(_Handler(ours), **options)
        self._ours = ours

    def factory(self) -> _Session:
        return _Session(self._ours, **self.SMTP_kwargs)


class _Handler:
    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        if session.host_name is None:
            self._server.connections += 1
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]] if self._server.pipelining else responses

    async def handle_MAIL(
        self, server: _Session, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._server.mail_answer:
            return self._server.mail_answer
        if 0 < self._server.most_mails <= server.begun:
            asyncio.get_running_loop().call_soon(server.hang_up)
            return "421 4.7.0 too many mails in this connection"
        server.begun += 1
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: _Session, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if answer := _next(self._server.rcpt_answers, address):
            if answer.startswith("421"):  # RFC 5321, section 3.8: said before the connection is closed
                asyncio.get_running_loop().call_soon(server.hang_up)
            return answer
        envelope.rcpt_tos.append(address)
        self._server.ports[address] = session.peer[1] if isinstance(session.peer, tuple) else 0
        return "250 OK"

    async def handle_DATA(self, server: _Session, session: Session, envelope: Envelope) -> str:
        ours, address = self._server, envelope.rcpt_tos[0]
        if ours.delay:
            await asyncio.sleep(ours.delay)
        if ours.before_answer is not None:
            await asyncio.get_running_loop().run_in_executor(None, ours.before_answer, address)
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        mail = Mail(list(envelope.rcpt_tos), content, time.monotonic(), envelope.mail_from or "")
        if address in ours.hang:
            ours.unanswered.append(mail)
            await asyncio.sleep(60)
        if answer := _next(ours.data_answers, address):
            return answer
        ours.mails.append(mail)
        if ours.drop_after_data[address] > 0:
            ours.drop_after_data[address] -= 1
            server.cut()
        return f"250 2.0.0 accepted as {len(ours.mails)}"


def _next(answers: dict[str, str | list[str]], address: str) -> str:
    found = answers.get(address, "")
    if isinstance(found, str):
        return found
    return found.pop(0) if len(found) > 1 else found[0]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def password_check(user: str, password: str) -> Callable[..., AuthResult]:
    """For `options["authenticator"]`: only this user and password may send."""

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        expected = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=expected, handled=False)

    return check
