"""Connections kept between the send cycles of one process: a single alert need not wait for a TLS handshake."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable

from alerting.transports.contract import Clock, Line, LineTransport, Outgoing, Transport, nothing

# Mail servers wait for minutes (RFC 5321, section 4.5.3.2.7: at least five); a provider's idle connections are few.
KEEP_SECONDS = 30.0


class KeptTransports:
    """A pool for each kind of channel. Whoever closes a transport that it got here gives it back."""

    def __init__(self, make: Callable[[str], Transport], *, monotonic: Clock = time.monotonic) -> None:
        self._make = make
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._idle: dict[str, list[tuple[float, Transport]]] = defaultdict(list)

    def transport(self, kind: str) -> Transport:
        """The one of this kind that was used last, or a new one."""
        with self._lock:
            idle = self._idle[kind]
            kept = idle.pop()[1] if idle else None
        transport = kept or self._make(kind)
        return (_LentLine if isinstance(transport, LineTransport) else _Lent)(kind, transport, self)

    def sweep(self) -> None:
        """Close what nobody has used for `KEEP_SECONDS`."""
        for transport in self._take(unused_since=self._monotonic() - KEEP_SECONDS):
            transport.close()

    def _give_back(self, kind: str, transport: Transport) -> None:
        with self._lock:
            self._idle[kind].append((self._monotonic(), transport))

    def _take(self, *, unused_since: float) -> list[Transport]:
        with self._lock:
            old = [one for idle in self._idle.values() for at, one in idle if at <= unused_since]
            for idle in self._idle.values():
                idle[:] = [(at, one) for at, one in idle if at > unused_since]
        return old


class _Lent:
    """A transport of the pool, in the hands of one thread."""

    def __init__(self, kind: str, transport: Transport, pool: KeptTransports) -> None:
        self._kind = kind
        self._transport = transport
        self._pool = pool

    def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        return self._transport.send(outgoing, deadline=deadline, handover=handover)

    def close(self) -> None:
        """Back into the pool, its connection open."""
        self._pool._give_back(self._kind, self._transport)  # noqa: SLF001 - one thing in two classes


class _LentLine(_Lent, LineTransport):
    """One that can be used as a line."""

    _transport: LineTransport

    def open(self, *, deadline: float) -> None:
        self._transport.open(deadline=deadline)

    def line(self) -> Line | None:
        return self._transport.line()
