"""What a guard does about failures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Times are seconds; None: no limit."""

    expected: tuple[type[Exception], ...] = ()  # anything else is a panic; `TimeoutError` is a time-out either way
    attempts: int = 1
    retry_panics: bool = False
    backoff_first: float = 0.5  # the longest first wait; the next are `backoff_factor` times as long …
    backoff_factor: float = 2.0
    backoff_most: float = 60.0  # … up to this
    jitter: float = 1.0  # the share of each wait that is random: 0 none, 1 all of it
    attempt_seconds: float | None = None
    overall_seconds: float | None = None  # with all attempts and waits; no wait begins that would pass it
    keep_late: bool = False  # whether a result that came after the deadline counts as a success
    limit: int | None = None  # attempts that run at once, in this process
    limit_wait_seconds: float | None = None  # how long to wait for a place; None: as long as the rest allows

    def __post_init__(self) -> None:
        if self.attempts < 1 or (self.limit is not None and self.limit < 1):
            raise ValueError("attempts and limit are at least 1")
        if self.backoff_first <= 0 or self.backoff_factor < 1 or self.backoff_most <= 0 or not 0 <= self.jitter <= 1:
            raise ValueError("a backoff grows from more than 0 by a factor of at least 1, with a jitter from 0 to 1")
        for seconds in (self.attempt_seconds, self.overall_seconds):
            if seconds is not None and seconds <= 0:
                raise ValueError("a deadline is more than 0 seconds away")
