"""How many messages a cycle takes in hand: what leaves in about half a second, and enough for every connection.

Who comes next waits for what is in hand. On a fast way out large claims cost less for each message; on a slow one small
claims keep the wait short. But no connection waits for a claim: with one message on each of them, half as many wait.
"""

from __future__ import annotations

from collections.abc import Callable

from alerting.transports.contract import Clock

SECONDS_IN_HAND = 0.5
FEWEST = 20
# Before anything is known: a few for each connection. But a server may allow far fewer, and take its time.
FIRST, FIRST_EACH, FIRST_MOST = 100, 3, 200
# Of a kind with a limit of messages a second. A server may take as long to answer, and its connections are used.
MOST_SECONDS_IN_HAND = 10.0


class Pace:
    """`connections`: how many send at a time, now. `most`: never more than that in hand, however fast they leave.
    `per_second`: the limit of the kind; 0 for none."""

    def __init__(self, *, connections: Callable[[], int], most: int, monotonic: Clock, per_second: float = 0.0) -> None:
        self._connections = connections
        self._most = min(most, max(1, int(per_second * MOST_SECONDS_IN_HAND))) if per_second else most
        self._monotonic = monotonic
        self._in_hand = min(max(FIRST, min(FIRST_EACH * connections(), FIRST_MOST)), self._most)
        self._since = monotonic()
        self._had = 0

    def room(self, unfinished: int) -> int:
        """How many may be claimed while so many are unfinished: at least one."""
        return max(1, self._in_hand - unfinished)

    def low(self) -> int:
        """With so many unfinished the next claim is made, so that the connections never wait for one. It is worth a
        claim: a third of what is in hand has left."""
        return min(max(self._in_hand // 2, self._connections()), self._in_hand * 2 // 3)

    def put(self, prepared: int) -> None:
        """So many were handed to the senders."""
        self._had += prepared

    def left(self, unfinished: int) -> None:
        """So many are unfinished now; the rest of what they had has left since the last call."""
        now = self._monotonic()
        gone, seconds = self._had - unfinished, now - self._since
        if gone > 0 and seconds > 0:
            worth = int(gone / seconds * SECONDS_IN_HAND)
            connections = self._connections()
            fewest = max(FEWEST, connections + connections // 2)
            # at most twice as many as before: one quick moment says little
            self._in_hand = min(max(min(worth, 2 * self._in_hand), fewest), self._most)
        self._since, self._had = now, unfinished
