"""A real HTTP receiver on loopback that answers with the bytes that a test gives it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Behaviour = Callable[[socket.socket], None]


@dataclass(slots=True)
class Request:
    """What came in."""

    line: str
    headers: dict[str, str]  # names in small letters
    body: bytes


@dataclass(slots=True)
class Receiver:
    """`answer`: bytes to send; or call it with the connection. None: closes without a word."""

    answer: bytes | Behaviour | None = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, host: str = "127.0.0.1", path: str = "/hook") -> str:
        return f"http{'s' if self.tls else ''}://{host}:{self.port}{path}"

    def serve(self, listener: socket.socket) -> None:
        while not self.over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection if self.tls is None else self.tls.wrap_socket(connection, server_side=True) as talk:
                talk.settimeout(5)
                self.requests.append(_read(talk))
                if callable(self.answer):
                    self.answer(talk)
                elif self.answer is not None:
                    talk.sendall(self.answer)
        except (OSError, ValueError):
            return  # the client has gone


def _read(talk: socket.socket) -> Request:
    head, _, body = b"", b"", b""
    while b"\r\n\r\n" not in head:
        if not (more := talk.recv(65536)):
            raise ValueError("nothing came")
        head += more
    head, _, body = head.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += talk.recv(65536)
    return Request(line, headers, body)


def status(code: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def drips(start: bytes) -> Behaviour:
    """One byte every 50 ms, for ever."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    return talk


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    listener = socket.create_server(("127.0.0.1", 0))
    receiver = Receiver(tls=tls, port=listener.getsockname()[1])
    thread = threading.Thread(target=receiver.serve, args=(listener,), daemon=True)
    thread.start()
    yield receiver
    receiver.over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)
