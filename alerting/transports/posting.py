"""One HTTP POST to an address that a user gave: to a checked address, in bounded time, for a bounded answer.

No redirect is followed and no proxy asked. The request is told apart in two: until `handover` nothing has left; after
it, a connection that is lost leaves open whether the other side took the message.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from alerting.models import ErrorKind
from alerting.transports.addresses import (
    AddressRefused,
    Guard,
    Target,
    target_of,
)
from alerting.transports.contract import TransportError
from alerting.transports.look_up import Resolve, answers_within, dns_answers
from alerting.transports.unanswered import HERE, Unanswered
from alerting.transports.watchdog import Watchdog

ANSWER_SECONDS = 10.0  # to connect, and again to answer; `docs/webhooks.md` says so
LONGEST_ANSWER = 4096  # bytes that are read of a body
_BODY_SECONDS = 2.0  # once the status is there
_LONGEST_WAIT = 86_400.0  # seconds; whoever asks for more gets a day
_KEPT = 2000  # characters of an answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said."""

    status: int
    body: str
    retry_after: float | None  # seconds

    @property
    def told(self) -> str:
        return f"{self.status} {self.body}".strip()[:_KEPT]


class Poster:
    """Posts one request after another, each on a connection of its own."""

    def __init__(
        self,
        guard: Guard,
        *,
        resolve: Resolve = dns_answers,
        tls_context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        monotonic: Callable[[], float] = time.monotonic,
        unanswered: Unanswered = HERE,
    ) -> None:
        self._guard = guard
        self._unanswered = unanswered
        self._resolve = resolve
        self._tls_context = tls_context
        self._tls: ssl.SSLContext | None = None
        self._monotonic = monotonic
        self._socket: socket.socket | None = None
        self._watchdog: Watchdog | None = None

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, deadline: float, handover: Callable[[], None]
    ) -> Answer:
        """Raises `TransportError`, and what `handover` raises. `deadline`: monotonic seconds."""
        try:
            target = target_of(url)
        except AddressRefused as fault:
            raise TransportError(str(fault), kind=ErrorKind.PERMANENT, bounced=True) from fault
        self._unanswered.begin(url, who=target.host)
        in_vain = False
        try:
            return self._post(target, body, headers, deadline, handover)
        except TransportError as fault:
            in_vain = self._late() or isinstance(fault.__cause__, TimeoutError)
            raise
        finally:
            self._unanswered.end(url, in_vain=in_vain)

    def close(self) -> None:
        """Let go of the thread that watches deadlines."""
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None

    def _post(
        self, target: Target, body: bytes, headers: Mapping[str, str], deadline: float, handover: Callable[[], None]
    ) -> Answer:
        if self._watchdog is None:
            self._watchdog = Watchdog(lambda: self._socket)
        try:
            soon = self._soon(deadline)
            with self._watchdog.until(soon):
                opened = self._open(target, soon)
            handover()  # it may wait for the database, which is not the other side's fault
            soon = self._soon(deadline)
            with self._watchdog.until(soon):
                opened.settimeout(max(0.001, soon - self._monotonic()))
                return self._exchange(target, opened, body, headers)
        finally:
            self._drop()

    def _soon(self, deadline: float) -> float:
        return min(deadline, self._monotonic() + ANSWER_SECONDS)

    def _open(self, target: Target, deadline: float) -> socket.socket:
        try:
            left = deadline - self._monotonic()
            addresses = answers_within(self._resolve, target.host, target.port, seconds=left)
            opened = self._connect(target, self._guard.addresses(target, addresses), deadline)
            return self._secured(opened, target) if target.scheme == "https" else opened
        except AddressRefused as fault:
            raise TransportError(str(fault), kind=ErrorKind.PERMANENT) from fault
        except (OSError, UnicodeError) as fault:  # TLS and DNS faults are among them: theirs to mend, and mended
            why = "did not answer in time" if self._late() or isinstance(fault, TimeoutError) else "cannot be reached"
            raise TransportError(f"{target.host} {why}.", kind=ErrorKind.TRANSIENT, answer=_said(fault)) from fault

    def _connect(self, target: Target, addresses: list[str], deadline: float) -> socket.socket:
        """To the first address that takes us; each gets an equal share of the time."""
        fault: OSError = TimeoutError("no time is left")
        for tried, address in enumerate(addresses):
            left = deadline - self._monotonic()
            if left <= 0:
                raise TimeoutError("no time is left")
            try:
                # by number: no second look-up, whose answer nobody would have checked
                opened = socket.create_connection((address, target.port), left / (len(addresses) - tried))
            except OSError as error:
                fault = error
                continue
            opened.settimeout(max(0.001, deadline - self._monotonic()))
            return self._watched(opened)
        raise fault

    def _secured(self, opened: socket.socket, target: Target) -> socket.socket:
        """The certificate is checked against the name; a numeric host against its number."""
        self._tls = self._tls or self._tls_context()
        # the handshake apart: while wrap_socket makes it, nobody else could shut the socket
        tls = self._tls.wrap_socket(opened, server_hostname=target.host, do_handshake_on_connect=False)
        self._watched(tls)
        tls.do_handshake()
        return tls

    def _watched(self, opened: socket.socket) -> socket.socket:
        """From here on the watchdog shuts it; a deadline that came a moment before counts too."""
        self._socket = opened
        if self._late():
            raise TimeoutError("the deadline passed")
        return opened

    def _exchange(self, target: Target, opened: socket.socket, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.auto_open = 0
        connection.sock = opened
        said = {"Host": target.host_header, "User-Agent": "Watchkeeper", "Connection": "close", **headers}
        try:
            connection.request("POST", target.path, body=body, headers=said)
            with connection.getresponse() as response:
                opened.settimeout(_BODY_SECONDS)
                return _answer(response, until=self._monotonic() + _BODY_SECONDS, monotonic=self._monotonic)
        except (OSError, http.client.HTTPException, ValueError) as fault:
            why = "did not answer in time" if self._late() or isinstance(fault, TimeoutError) else "broke off"
            raise TransportError(
                f"{target.host} {why}: it may have taken the message.",
                kind=ErrorKind.TRANSIENT,
                answer=_said(fault),
                unknown=True,
            ) from fault

    def _late(self) -> bool:
        return self._watchdog is not None and self._watchdog.fired

    def _drop(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()


def _answer(response: http.client.HTTPResponse, *, until: float, monotonic: Callable[[], float]) -> Answer:
    body = b""
    # the status says it all: a body that breaks off, drips or never ends takes nothing back
    with suppress(OSError, http.client.HTTPException, ValueError):
        while len(body) < LONGEST_ANSWER and monotonic() < until:
            if not (more := response.read1(LONGEST_ANSWER - len(body))):
                break
            body += more
    wait = retry_after(response.getheader("Retry-After", ""), now=datetime.now(UTC))
    return Answer(response.status, body.decode("utf-8", errors="replace"), wait)


def retry_after(text: str, *, now: datetime) -> float | None:
    """The header's seconds or its date (RFC 9110, section 10.2.3); None for what is neither."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), _LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(0.0, seconds.total_seconds()), _LONGEST_WAIT)


def refused(answer: Answer, *, who: str, gone: bool) -> TransportError:
    """What an answer that is not a success asks for: 408, 429 and 5xx pass, all else is for good."""
    passing = answer.status in (408, 429) or answer.status >= 500
    aside = "; redirects are not followed" if 300 <= answer.status < 400 else ""
    return TransportError(
        f"{who} answered: {answer.told}{aside}"[:_KEPT],
        kind=ErrorKind.TRANSIENT if passing and not gone else ErrorKind.PERMANENT,
        answer=answer.told,
        bounced=gone,
        retry_after=answer.retry_after if answer.status in (429, 503) else None,
    )


def _said(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"[:_KEPT]
