"""How many messages a cycle takes in hand: what leaves in about half a second.

Who comes next waits for what is in hand. On a fast way out large claims cost less for each message; on a slow one
small claims keep the wait as short.
"""

from __future__ import annotations

from alerting.transports.contract import Clock

SECONDS_IN_HAND = 0.5
FIRST, FEWEST = 100, 20


class Pace:
    """`most`: never more than that in hand, however fast they leave."""

    def __init__(self, *, most: int, monotonic: Clock) -> None:
        self._most = most
        self._monotonic = monotonic
        self._in_hand = min(FIRST, most)
        self._since = monotonic()
        self._had = 0

    def room(self, unfinished: int) -> int:
        """How many may be claimed while so many are unfinished: at least one."""
        return max(1, self._in_hand - unfinished)

    def low(self) -> int:
        """With so many unfinished the next claim is made, so that the connections never wait for one."""
        return self._in_hand // 2

    def put(self, prepared: int) -> None:
        """So many were handed to the senders."""
        self._had += prepared

    def left(self, unfinished: int) -> None:
        """So many are unfinished now; the rest of what they had has left since the last call."""
        now = self._monotonic()
        gone, seconds = self._had - unfinished, now - self._since
        if gone > 0 and seconds > 0:
            worth = int(gone / seconds * SECONDS_IN_HAND)
            # at most twice as many as before: one quick moment says little
            self._in_hand = max(min(worth, 2 * self._in_hand, self._most), min(FEWEST, self._most))
        self._since, self._had = now, unfinished
