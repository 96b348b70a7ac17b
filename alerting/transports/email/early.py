"""Early envelopes: the next mail's leaves in one piece with the end of a content, as RFC 2920, section 3.1, allows.

That saves one of the two round trips of a mail. But not every server that offers PIPELINING can be asked so: one may
throw away what follows a content, or take one mail for each connection. And one may answer the envelope first and the
content later (Postfix's smtp-sink does where it is told to wait): then what it says first must not be taken for its
answer to the content. So a server is tried with an EHLO behind a content: its answer can be mistaken for none other.
"""

from __future__ import annotations

import enum
import re
import time
from functools import lru_cache

import structlog

from alerting.transports.contract import Clock

log = structlog.get_logger(__name__)

# Between two trials. One that goes wrong costs a connection; and another server may stand there by then.
PAUSE_SECONDS = 60.0
_LISTS_PIPELINING = re.compile(rb"^(?:250[- ])?PIPELINING\b", re.MULTILINE | re.IGNORECASE)


class Order(enum.Enum):
    """In which a server answers a content and what came behind it."""

    UNKNOWN = "unknown"
    KEPT = "kept"  # as they were sent: RFC 2920, section 3.2
    BROKEN = "broken"  # the content last: accepted is then what is answered all in all, and all of it good


class EarlyEnvelopes:
    """What is known of one server, for all connections of a process."""

    def __init__(self, server: str, *, monotonic: Clock = time.monotonic) -> None:
        self.order = Order.UNKNOWN
        self._server = server
        self._monotonic = monotonic
        self._no_trial_before = monotonic()

    @property
    def may_leave(self) -> bool:
        """Whether one may leave now, or the server may be tried."""
        return self.order is not Order.UNKNOWN or self._monotonic() >= self._no_trial_before

    def trial_begins(self) -> None:
        """With one connection; whatever becomes of it, others do not try meanwhile."""
        self._no_trial_before = self._monotonic() + PAUSE_SECONDS

    def answered(self, order: Order) -> None:
        """A content and the EHLO behind it were, in this order."""
        self.order = order

    def pause(self) -> None:
        """What came behind a content was not taken, or nothing is won by it: the server is slow."""
        self.order = Order.UNKNOWN
        self._no_trial_before = self._monotonic() + PAUSE_SECONDS
        log.info("early_envelopes_paused", server=self._server, seconds=PAUSE_SECONDS)


def of_hello(answer: bytes) -> bool:
    """Whether this answer, or its text, is that to an EHLO of a server that offers PIPELINING."""
    return _LISTS_PIPELINING.search(answer) is not None


@lru_cache(maxsize=16)
def early_envelopes(host: str, port: int) -> EarlyEnvelopes:
    """Of this server, while this process lives."""
    return EarlyEnvelopes(f"{host}:{port}")
