"""How a sender's process measures itself: from the first look at its queue to its last outcome, children included."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from django.db import connection


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one sender."""

    messages: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cost(self) -> float:
        """Milliseconds of processor time a message, of all processes of the sender."""
        return 1000 * self.cpu_seconds / self.messages


def tell(send: Callable[[], None], *, messages: int, sent: Callable[[], int]) -> None:
    """Run `send`, and say on standard output what it took. Raises where not everything has left and is recorded."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum would have done by itself with time
    began, cpu_before = time.perf_counter(), _cpu_seconds()
    send()
    seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu_before
    if (ended := sent()) != messages:
        raise RuntimeError(f"{ended} of {messages} were recorded as sent")
    print(json.dumps(asdict(Measured(messages, seconds, cpu))), file=sys.__stdout__, flush=True)


def heard(said: str) -> Measured:
    """From the last line of what such a process said."""
    return Measured(**json.loads(said.strip().splitlines()[-1]))


def _cpu_seconds() -> float:
    """Of this process and of the children that ended; a child that still runs would be missed."""
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in each)
