"""How many messages a cycle takes in hand: what leaves in about half a second.

Who comes next waits for what is in hand. On a fast way out large claims cost less for each message; on a slow one
small claims keep the wait as short. But no connection waits for a claim: with one message on each of them, half as many
wait.
"""

from __future__ import annotations

from alerting.transports.contract import Clock

SECONDS_IN_HAND = 0.5
FEWEST = 20
# Nothing is known yet: what each connection sends in a tenth of a second to a server that answers within 20 ms.
FIRST, FIRST_EACH = 100, 3


class Pace:
    """`connections`: how many send at a time. `most`: never more than that in hand, however fast they leave."""

    def __init__(self, *, connections: int, most: int, monotonic: Clock) -> None:
        self._connections = min(connections, most)
        self._fewest = min(max(FEWEST, connections + connections // 2), most)
        self._most = most
        self._monotonic = monotonic
        self._in_hand = min(max(FIRST, FIRST_EACH * connections), most)
        self._since = monotonic()
        self._had = 0

    def room(self, unfinished: int) -> int:
        """How many may be claimed while so many are unfinished: at least one."""
        return max(1, self._in_hand - unfinished)

    def low(self) -> int:
        """With so many unfinished the next claim is made, so that the connections never wait for one."""
        return max(self._in_hand // 2, self._connections)

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
            self._in_hand = max(min(worth, 2 * self._in_hand, self._most), self._fewest)
        self._since, self._had = now, unfinished
