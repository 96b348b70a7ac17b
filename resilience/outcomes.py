"""How guarded work ends, and what it is told while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")
NO_DETAILS: Mapping[str, Any] = MappingProxyType({})


class Ended(StrEnum):
    """How guarded work, or one attempt of it, ended."""

    SUCCESS = "success"
    FAILURE = "failure"  # an expected error
    TIMEOUT = "timeout"  # `TimeoutError`, or a result that came after the deadline
    PANIC = "panic"  # a programming error
    REJECTED = "rejected"  # it was never begun


class Rejected(Exception):
    """The work was not begun."""

    refusal: ClassVar[str] = "rejected"  # the label of `rejected_total`


class Stopping(Rejected):
    """A shutdown has begun: nothing new starts."""

    refusal = "stopping"


class NoPlace(Rejected):
    """As many run at once as may, and none ended in time."""

    refusal = "no_place"


class DeadlinePassed(TimeoutError):
    """The work took longer than it may."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the work is given: which attempt this is, and until when it may take.

    Python cannot end a thread, so the work itself must hand `remaining()` to whatever it waits for.
    """

    number: int  # from 1
    deadline: float | None  # by `clock`; None: as long as it takes
    clock: Callable[[], float]

    def remaining(self) -> float:
        """Seconds that are left, never less than 0; infinite without a deadline."""
        return math.inf if self.deadline is None else max(0.0, self.deadline - self.clock())

    def check(self) -> None:
        """Raises `DeadlinePassed` if nothing is left. For work that goes in steps."""
        if self.deadline is not None and self.clock() > self.deadline:
            raise DeadlinePassed(f"the deadline of attempt {self.number} has passed")


@dataclass(frozen=True, slots=True)
class Task:
    """What is guarded: its name, the values of its labels, and what the log says besides."""

    name: str
    labels: Mapping[str, str]
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Attempted(Generic[T]):
    """How one attempt ended."""

    ended: Ended
    value: T | None = None
    error: Exception | None = None
    seconds: float = 0.0
    overran: bool = False  # it came back after its deadline, whatever with

    @property
    def refused(self) -> bool:
        """The attempt, or something that its work uses, was not let begin."""
        return isinstance(self.error, Rejected)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """The value of work that succeeded, or the error that was recovered."""

    ended: Ended
    value: T | None = None
    error: Exception | None = None
    attempts: int = 0
    seconds: float = 0.0
    cut_short: bool = False  # a shutdown kept it from being tried again

    @property
    def succeeded(self) -> bool:
        return self.ended is Ended.SUCCESS
