"""What one connection of a lane waits for before its next message may be accepted."""

from __future__ import annotations

import time

from alerting.cycle.outcomes import Settled
from alerting.cycle.seat import Seat
from alerting.transports import UnknownKind


def test_what_is_settled_is_forgotten_and_the_first_that_is_not_is_waited_for() -> None:
    """Without a page of the journal: each outcome has to be in the database."""
    seat = Seat(UnknownKind("email"))
    seat.unsettled.extend([Settled(), Settled()])
    hurried: list[None] = []

    seat.unsettled[0].set()
    began = time.monotonic()
    settled = seat.settled(0.3, hurry=lambda: hurried.append(None))

    assert not settled
    assert 0.25 < time.monotonic() - began < 0.5
    assert (len(seat.unsettled), len(hurried)) == (1, 1)


def test_the_time_that_one_outcome_took_is_not_given_to_the_next() -> None:
    class Late(Settled):
        def wait(self, seconds: float) -> bool:
            time.sleep(0.2)
            self.set()
            return super().wait(seconds)

    seat = Seat(UnknownKind("email"))
    seat.unsettled.extend([Late(), Settled()])
    began = time.monotonic()

    assert not seat.settled(0.3, hurry=lambda: None)
    assert time.monotonic() - began < 0.45  # 0.5 if each had its own
