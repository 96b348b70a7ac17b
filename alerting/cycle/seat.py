"""A message that is ready to leave, and the seat from which it does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from alerting.cycle.journal import Page
from alerting.cycle.outcomes import Settled
from alerting.cycle.queue import Claim
from alerting.cycle.render import Written
from alerting.transports import Line, LineTransport, Transport
from resilience.breakers.group import Probe


class Ready(NamedTuple):
    """A message with its words and the claim that holds it. `probe`: its kind is shut, and this one tries the way."""

    written: Written
    claim: Claim
    probe: Probe | None = None

    @property
    def message_id(self) -> int:
        return self.written.checked.message.pk

    @property
    def organisation_id(self) -> int:
        return self.written.checked.message.organisation_id

    @property
    def kind(self) -> str:
        channel = self.written.checked.channel
        assert channel is not None
        return channel.kind

    @property
    def large(self) -> bool:
        return self.written.checked.message.large


@dataclass(slots=True)
class Seat:
    """A connection, its page of the journal if there is one, the outcomes of its last messages that were not seen
    settled yet, whether the message under way has come to its handover, and whether the server wants it no more. One
    thread has it at a time."""

    transport: Transport
    page: Page | None = None
    unsettled: deque[Settled] = field(default_factory=deque)
    mentioned: bool = False
    left: bool = False

    @property
    def can_have_line(self) -> bool:
        return isinstance(self.transport, LineTransport)

    def settled(self, seconds: float, *, hurry: Callable[[], None]) -> bool:
        """Whether the next message may be accepted: all but the last came to an end that is in the database, and so did
        the last, or a page has it if it was accepted. Says `hurry` and waits for it, at most so long in all."""
        kept = 0 if self.page is None else 1
        until = time.monotonic() + seconds
        while len(self.unsettled) > kept:
            first = self.unsettled[0]
            if not first.is_set():
                hurry()
            if not first.wait(max(until - time.monotonic(), 0.0)):
                return False
            self.unsettled.popleft()
        return True

    def open(self, *, deadline: float, handover: Callable[[], None]) -> str:
        """Its connection, where that can be opened by itself. Raises `TransportError`; there is no answer to tell."""
        if isinstance(self.transport, LineTransport):
            self.transport.open(deadline=deadline)
        return ""

    def line(self) -> Line | None:
        return self.transport.line() if isinstance(self.transport, LineTransport) else None
