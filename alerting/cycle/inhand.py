"""What a cycle holds: its claims, and which of their messages have not come to an end yet."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from uuid import UUID

from alerting.cycle.queue import Claim


class InHand:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[int, UUID] = {}  # message to its claim's token
        self._returned: set[int] = set()

    def take(self, claimed: Claim) -> None:
        with self._lock:
            self._left |= dict.fromkeys(claimed.message_ids, claimed.token)

    def ended(self, messages: Iterable[int]) -> None:
        """Their outcome is in the database."""
        with self._lock:
            for message in messages:
                self._left.pop(message, None)

    def unrecorded(self, message: int) -> None:
        """Its outcome could not be written: it must not be given back."""
        self.ended((message,))

    def returned(self, message: int) -> None:
        """Not tried: may be given back at once."""
        with self._lock:
            self._returned.add(message)

    def take_returned(self) -> dict[UUID, list[int]]:
        """What was returned since the last call, by claim."""
        with self._lock:
            returned, self._returned = self._returned & self._left.keys(), set()
            return self._drop(returned)

    def take_all(self) -> dict[UUID, list[int]]:
        """Everything that is left, by claim."""
        with self._lock:
            self._returned = set()
            return self._drop(set(self._left))

    def _drop(self, messages: set[int]) -> dict[UUID, list[int]]:
        by_claim: dict[UUID, list[int]] = {}
        for message in messages:
            by_claim.setdefault(self._left.pop(message), []).append(message)
        return by_claim
