"""Early envelopes: the next mail's leaves in one piece with the end of a content, as RFC 2920, section 3.1, allows.

That saves one of the two round trips of a mail. But not every server that offers PIPELINING can be asked so. One may
throw away what follows a content, or take one mail for each connection. One may answer the envelope first and the
content later (Postfix's smtp-sink does where it is told to wait), so that what was said first must not be taken for the
answer to the content. So one mail tries it, and counts as accepted only when all is answered and all of it is good: in
whatever order, it was accepted then, and the order is known for those that follow.
"""

from __future__ import annotations

import enum
from functools import lru_cache

# A trial may go wrong for reasons of its mail's own.
_MOST_TRIALS = 3


class Order(enum.Enum):
    """In which a server answers a content and the envelope behind it."""

    UNKNOWN = "unknown"
    KEPT = "kept"  # as they were sent: RFC 2920, section 3.2
    BROKEN = "broken"  # the envelope first; what is refused then cannot be known


class EarlyEnvelopes:
    """What is known of one server. For all connections of a process: each call changes one thing at most."""

    def __init__(self) -> None:
        self.order = Order.UNKNOWN
        self._trials_left = _MOST_TRIALS
        self._being_tried = False

    @property
    def welcome(self) -> bool:
        """Whether one may leave now."""
        if self.order is Order.UNKNOWN:
            return self._trials_left > 0 and not self._being_tried
        return self._trials_left > 0

    def leaves(self) -> None:
        """One does."""
        self._being_tried = True

    def answered(self, order: Order) -> None:
        """It and the content before it were, and all went well."""
        self.order = order

    def troubled(self) -> None:
        """Something else was heard, or nothing. Once the order is known that is no fault of the envelope's."""
        if self.order is Order.UNKNOWN:
            self._trials_left -= 1
            self._being_tried = False

    def unanswered(self) -> None:
        """The content was answered and the envelope was not, for so long that somebody has to wait for it: so it gains
        nothing, and it may have been thrown away."""
        self._trials_left = 0


@lru_cache(maxsize=16)
def early_envelopes(host: str, port: int) -> EarlyEnvelopes:
    """Of this server, while this process lives."""
    return EarlyEnvelopes()
