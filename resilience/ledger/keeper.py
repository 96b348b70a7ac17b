"""The thread of a supervisor that keeps the ledger: says that its run goes on, and finds those that ended unclean.

It never holds its caller up: where the database does not answer, the supervisor goes on without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from resilience.incidents import incident_clear, incident_report
from resilience.ledger.book import (
    FAULTS,
    Run,
    UncleanEnd,
    Unfinished,
    deaths_count,
    run_end,
    run_seen,
    run_unfinished,
    runs_unclean,
)
from resilience.metrics import counter

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
WORKER_DEATHS = counter(
    "worker_deaths", "Processes that died, by cause; kept across restarts.", ("deployment", "cause")
)

# Which messages, say, the processes of these names had in hand; for the incident.
InHand = Callable[[Sequence[str]], Sequence[int]]


class RunKeeper:
    """Begin it once all children are forked; `end` it when they are gone."""

    def __init__(self, run: Run, *, in_hand: InHand) -> None:
        self._run = run
        self._in_hand = in_hand
        self._ended = threading.Event()
        self._counted: dict[str, int] = {}
        self._known = False
        self._thread = threading.Thread(target=self._loop, name="run-keeper", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def unfinished(self, *, seconds: float) -> list[Unfinished]:
        """What the processes of this run have in hand; empty where the database does not answer in `seconds`."""
        found: list[Unfinished] = []
        within(seconds, lambda: found.extend(run_unfinished(self._run)))
        return found

    def end(self, *, seconds: float) -> None:
        """Takes the run's row away, within `seconds`: it stopped, and says so."""
        self._ended.set()
        within(seconds, self._end)

    def look(self) -> None:
        """One round. Raises what the database raises."""
        if run_seen(self._run) and self._known:  # somebody held this run to be dead
            log.info("run_heard_again", part=self._run.part, instance=self._run.instance)
            now = datetime.now(UTC)
            incident_clear(fingerprint=_fingerprint(self._run.part, self._run.instance), by=self._run.part, now=now)
        self._known = True
        for gone in runs_unclean(self._run):
            self._report(gone)
        self._count()

    def _loop(self) -> None:
        while True:
            try:
                self.look()
            except Exception as fault:  # whatever it is, the run would be held to be dead if this thread ended
                log.warning("ledger_not_kept", error=str(fault), exc_info=not isinstance(fault, FAULTS))
            if self._ended.wait(EVERY_SECONDS):
                return

    def _end(self) -> None:
        if self._thread.is_alive():
            self._thread.join()  # a round in progress would write the row again
        run_end(self._run)

    def _report(self, gone: UncleanEnd) -> None:
        names = gone.processes_at_work()
        messages = list(self._in_hand(names)) if names else []
        words = in_hand_words(gone.unfinished, messages)
        incident_report(
            kind="worker_unclean_shutdown",
            summary=f"“{gone.part}” at {gone.instance} is {gone.cause.label}. {words}",
            severity="critical",
            fingerprint=_fingerprint(gone.part, gone.instance),
            details={
                "deployment": gone.part,
                "instance": gone.instance,
                "host": gone.host,
                "pid": gone.pid,
                "cause": gone.cause.value,
                "last_seen": gone.seen_at.isoformat(),
                "unfinished": [work.told() for work in gone.unfinished],
                "messages": messages,
            },
        )

    def _count(self) -> None:
        """The metric follows the rows: a counter in the memory of a process that dies would be seen by nobody."""
        for cause, total in deaths_count(self._run).items():
            more = total - self._counted.get(cause, 0)
            if more > 0:
                WORKER_DEATHS.labels(deployment=self._run.part, cause=cause).inc(more)
            self._counted[cause] = total


def within(seconds: float, work: Callable[[], object]) -> None:
    """Does it in a thread, and waits so long: a database that does not answer holds nobody up."""

    def guarded() -> None:
        try:
            work()
        except Exception as fault:
            log.warning("ledger_not_written", error=str(fault), exc_info=not isinstance(fault, FAULTS))

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(seconds)


def _fingerprint(part: str, instance: str) -> str:
    return f"worker_unclean_shutdown:{part}:{instance}"


def in_hand_words(unfinished: Sequence[Unfinished], messages: Sequence[int]) -> str:
    """A sentence for an incident."""
    if not unfinished:
        return "It had nothing in hand."
    doing = ", ".join(sorted({work.doing for work in unfinished}))
    told = f"It was in the middle of: {doing}."
    if messages:
        shown = ", ".join(str(key) for key in messages[:20]) + (" …" if len(messages) > 20 else "")
        told += f" Messages in hand: {shown}."
    return told
