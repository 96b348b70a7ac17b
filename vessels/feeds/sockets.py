"""Sockets that give lines: a TCP connection with keepalive, and a UDP port."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from typing import Protocol

from vessels.feeds.sources import NmeaTcp, NmeaUdp

CONNECT_SECONDS = 10.0
SLICE = 0.1  # how long a wait may hold up a stop
_RECEIVE = 1 << 16
_LONGEST_LINE = 1 << 14
_DATAGRAMS_AT_ONCE = 500


class StopFlag(Protocol):
    def is_set(self) -> bool: ...


class Connection:
    """A socket read as lines. Closed on leaving `with`."""

    def __init__(self, sock: socket.socket, *, datagrams: bool) -> None:
        self._socket = sock
        self._datagrams = datagrams
        self._rest = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def read_lines(self, seconds: float) -> tuple[list[bytes], str | None]:
        """Lines that came within `seconds`, as soon as there are any, and the reason if the connection is lost."""
        try:
            if not select.select([self._socket], [], [], seconds)[0]:
                return [], None
            return self._received_datagrams() if self._datagrams else self._received()
        except OSError as error:
            return [], str(error)

    def _received(self) -> tuple[list[bytes], str | None]:
        data = self._socket.recv(_RECEIVE)
        if not data:
            # A last line without its end may have lost half of itself; its checksum will tell.
            rest, self._rest = self._rest, b""
            return ([rest] if rest else []), "closed by the server"
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        return lines, None

    def _received_datagrams(self) -> tuple[list[bytes], str | None]:
        """A sentence never spans datagrams, but a datagram may hold several."""
        lines: list[bytes] = []
        for _ in range(_DATAGRAMS_AT_ONCE):
            try:
                lines += self._socket.recv(_RECEIVE).split(b"\n")
            except BlockingIOError:
                break
        return lines, None


def listen_udp(source: NmeaUdp) -> Connection:
    """Bind the source's address. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(source.host, source.port, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)  # a burst waits here while we evaluate
        sock.bind(address)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return Connection(sock, datagrams=True)


def open_tcp(source: NmeaTcp, stop: StopFlag) -> Connection | None:
    """Connect, to the first of the host's addresses that answers; None when stopped meanwhile. Raises OSError."""
    failure = OSError(f"{source.host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(source.host, source.port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            if not _connect(sock, address, stop):
                sock.close()
                return None
            _keep_alive(sock)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return Connection(sock, datagrams=False)
    raise failure


def _connect(sock: socket.socket, address: object, stop: StopFlag) -> bool:
    """False when stopped. Raises OSError."""
    sock.setblocking(False)
    code = sock.connect_ex(address)  # type: ignore[arg-type]
    if code not in (0, errno.EINPROGRESS):
        raise OSError(code, os.strerror(code))
    deadline = time.monotonic() + CONNECT_SECONDS
    while not select.select([], [sock], [], SLICE)[1]:
        if stop.is_set():
            return False
        if time.monotonic() > deadline:
            raise TimeoutError(f"no connection within {CONNECT_SECONDS:.0f} s")
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    return True


def _keep_alive(sock: socket.socket) -> None:
    """Notice within about a minute that a silent server is gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, seconds)
