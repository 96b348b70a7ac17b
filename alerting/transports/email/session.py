"""smtplib's session as a sender needs it: one that can be shut from outside at any moment, reads answers cheaply, and
can be used by somebody who does not wait.

smtplib's own `getreply` reads through two layers of files. And a socket with a time-out asks the kernel twice for each
read and write; here the kernel keeps the time-out, which halves how often a thread has to wait for its turn.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import struct
import time
from typing import Any

from alerting.transports.email.own_name import own_name
from alerting.transports.look_up import answers_within, dns_answers

_LONGEST_LINE = 8192  # that of smtplib; RFC 5321, section 4.5.3.1.5, asks for 512
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_NO_SUCH_CODE = -1  # smtplib's word for an answer that begins with no number


class Session(smtplib.SMTP):
    """`on_the_wire`: the socket, also while it connects and shakes hands. `heard`: what `getreply` gives next, without
    waiting for what is complete."""

    def __init__(self, host: str, *, timeout: float, deadline: float, tls: ssl.SSLContext | None) -> None:
        """`deadline`: monotonic seconds; until then it may connect. `tls`: for a connection that is encrypted from its
        first byte."""
        self._implicit_tls = tls
        self._connect_until = deadline
        self.heard = b""
        self._waits: bool | None = None  # neither, while smtplib opens it
        self.under_way: object = None  # the mail that was begun and not finished: the session is of use to no other
        self.on_the_wire: socket.socket | None = None
        super().__init__(local_hostname=own_name(seconds=deadline - time.monotonic()), timeout=timeout)
        self._host = host

    def secure(self, context: ssl.SSLContext) -> tuple[int, bytes]:
        """STARTTLS; smtplib's own hides the socket during the handshake."""
        code, answer = self.docmd("STARTTLS")
        if code == 220:
            self.sock = self._handshake(self.sock, context)
            # what the server said before does not count (RFC 3207, section 4.2)
            self.heard = b""
            self.helo_resp = self.ehlo_resp = None
            self.esmtp_features, self.does_esmtp = {}, False
        return code, answer

    def opened(self) -> None:
        """From here on the kernel can keep the time-out of each read and write. TLS does not hear of that one."""
        seconds = max(self.timeout, 0.001)
        bound = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))  # a timeval
        assert self.sock is not None
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bound)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, bound)

    @property
    def encrypted(self) -> bool:
        return isinstance(self.sock, ssl.SSLSocket)

    def wait(self, yes: bool) -> None:
        """Whether reads and writes wait for the server, as all but `hear_now` and `say_now` expect."""
        if self.sock is None or yes is self._waits:
            return
        if yes:
            self.sock.settimeout(self.timeout if self.encrypted else None)
        else:
            self.sock.setblocking(False)
        self._waits = yes

    def say_now(self, data: bytes) -> int:
        """How many bytes of it were taken, without waiting for room. TLS says 0 where it has taken a part: the same
        bytes must follow, and nothing else (SSL_write). Raises `OSError`."""
        assert self.sock is not None
        try:
            return self.sock.send(data)
        except _NOT_NOW:
            return 0

    def hear_now(self) -> None:
        """Take what the server has said by now. Raises `OSError`, and `SMTPServerDisconnected` at its end; whoever
        reads on hears of that end again."""
        sock = self.sock
        assert sock is not None
        more = True
        while more:
            try:
                heard = sock.recv(_LONGEST_LINE)
            except _NOT_NOW:
                return
            if not heard:
                raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
            self.heard += heard
            # what TLS has decrypted already makes no socket readable
            more = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def acknowledge(self) -> None:
        """At once: a server may hold back its next answer until it knows that the last one came (RFC 896), and the
        kernel says so only after 40 ms where nothing else is to be sent."""
        assert self.sock is not None
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def getreply(self) -> tuple[int, bytes]:
        """The code and the text of one answer, its lines joined by LF (RFC 5321, section 4.2.1).

        Raises `OSError`, `SMTPServerDisconnected`, and `SMTPResponseException` for a line without an end.
        """
        text = b""
        while True:
            line = self._line()
            text += line[4:].strip(b" \t\r\n")
            code = int(line[:3]) if line[:3].isdigit() else _NO_SUCH_CODE
            if code == _NO_SUCH_CODE or line[3:4] != b"-":
                return code, text
            text += b"\n"

    def _line(self) -> bytes:
        while (end := self.heard.find(b"\n")) < 0:
            if len(self.heard) > _LONGEST_LINE:
                self.close()
                raise smtplib.SMTPResponseException(500, "Line too long.")
            self._hear()
        line, self.heard = self.heard[:end], self.heard[end + 1 :]
        return line

    def _hear(self) -> None:
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("Connection closed")
        try:
            heard = self.sock.recv(_LONGEST_LINE)
        except BlockingIOError as fault:
            raise TimeoutError(f"the server said nothing for {self.timeout:g} s") from fault
        if not heard:
            self.close()
            raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
        self.heard += heard

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        self.heard, self._waits = b"", None
        self.on_the_wire = _connection(host, port, timeout=timeout, deadline=self._connect_until)
        if time.monotonic() >= self._connect_until:
            # whoever shuts it from outside may have looked a moment before there was a socket
            raise TimeoutError("the message's deadline passed while the connection was made")
        if self._implicit_tls is None:
            return self.on_the_wire
        return self._handshake(self.on_the_wire, self._implicit_tls)

    def _handshake(self, plain: Any, context: ssl.SSLContext) -> ssl.SSLSocket:
        tls = context.wrap_socket(plain, server_hostname=self._host, do_handshake_on_connect=False)
        self.on_the_wire = tls
        tls.do_handshake()
        return tls


def _connection(host: str, port: int, *, timeout: float, deadline: float) -> socket.socket:
    """To the first address of the host that answers. Raises `OSError`.

    `timeout` is for each; of the time until `deadline` each gets an equal share, or one that is out of reach, as all of
    IPv6 may be, would take that of the others.
    """
    refused: OSError = TimeoutError("no address of the host answered in time")
    addresses = answers_within(dns_answers, host, port, seconds=deadline - time.monotonic())
    for tried, address in enumerate(addresses):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the message's deadline passed before an address of the host answered")
        share = left / (len(addresses) - tried)
        try:
            connected = socket.create_connection((address, port), min(timeout, share))
        except OSError as fault:
            refused = fault
        else:
            if share < timeout:
                connected.settimeout(timeout)
            return connected
    raise refused
