"""From the commit of an event to the mail server's acceptance of its mail, at 50 a second, and where the time goes.

Both deployments that send run as real processes. Events are committed as the watch does it, with a NOTIFY; matching is
on the way. The stages: `woken` until matching has begun, `made ready` until the mail goes on the wire (matching, claim,
look-ups, words), `taken` until the server has it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from alerting.models import Attempt
from benchmarks.frame import Case
from benchmarks.stage.counting_sink import CountingSink
from benchmarks.stage.databases import throw_away, used_here
from benchmarks.stage.deployments import Deployments, wait_until
from benchmarks.stage.rows import event_new, recipients_make, subscriptions_make
from vessels.models import Event
from vessels.watch.store import EVENTS_WAITING

PER_SECOND = 50
WARM_UP, EVENTS = 5 * PER_SECOND, 60 * PER_SECOND
LAST_SECONDS = 30.0
MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True)
class Passage:
    """One alert's times, in seconds of the wall clock."""

    committed: float
    matched: float
    started: float
    taken: float


def cases() -> Iterator[Case]:
    passages = measure()
    stages = {
        "commit to acceptance": [each.taken - each.committed for each in passages],
        "woken": [each.matched - each.committed for each in passages],
        "made ready": [each.started - each.matched for each in passages],
        "taken": [each.taken - each.started for each in passages],
    }
    for name, seconds in stages.items():
        for percent in (50, 99):
            figure = partial(percentile, seconds, percent)
            yield Case(case=f"{name}, p{percent}", unit="ms", ours=figure, rounds=1)
    longest = max(stages["commit to acceptance"]) * MILLISECONDS
    yield Case(case=f"longest of {len(passages)}", unit="ms", ours=lambda: longest, rounds=1)


def percentile(seconds: Sequence[float], percent: int) -> float:
    """In milliseconds."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * MILLISECONDS


def measure() -> list[Passage]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = stack.enter_context(CountingSink(folder))
        environment = stack.enter_context(throw_away(settings.DATABASE_URL, "latency", var=folder))
        environment |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(sink.port)}
        stack.enter_context(used_here(environment))
        deployments = stack.enter_context(Deployments(environment, folder))
        organisation, channels = recipients_make(1, now=timezone.now())
        subscriptions_make(organisation, channels, now=timezone.now())
        deployments.begin("realtime")
        deployments.begin("digest")
        deployments.wait()
        pattern = event_new(organisation, 0, now=timezone.now())
        committed = [commit_paced(pattern, number) for number in paced(WARM_UP + EVENTS)]
        wait_until(lambda: len(sink.taken()) >= len(committed), seconds=LAST_SECONDS, what="the last mail")
        return passages_of(dict(committed[WARM_UP:]), {each.message_id: each.at for each in sink.taken()})


def paced(number: int) -> Iterator[int]:
    """Numbers, each at its time; one that is late does not push back the next ones."""
    began = time.monotonic()
    for each in range(number):
        time.sleep(max(0.0, began + each / PER_SECOND - time.monotonic()))
        yield each


def commit_paced(pattern: Event, number: int) -> tuple[int, float]:
    """Store an event as the watch does. Returns its key and when its commit was done."""
    now = timezone.now()
    pattern.pk = None
    pattern._state.adding = True  # noqa: SLF001 - a copy by Django's documentation
    pattern.position_key, pattern.occurred_at, pattern.detected_at = f"{number}", now, now
    with transaction.atomic():
        pattern.save(force_insert=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [EVENTS_WAITING])
    return pattern.pk, time.time()


def passages_of(committed: dict[int, float], taken: dict[str, float]) -> list[Passage]:
    """Raises `KeyError` for a mail that did not arrive."""
    rows = Attempt.objects.filter(message__notifications__event__in=committed).values_list(
        "message__notifications__event_id",
        "message__notifications__event__matched_at",
        "started_at",
        "message__message_id",
    )
    return [
        Passage(committed[event], matched.timestamp(), started.timestamp(), taken[message_id])
        for event, matched, started, message_id in rows
        if matched is not None
    ]
