"""The recorder: the one thread of a cycle that writes what came of the sends.

Outcomes that arrive while a commit is under way go into the next one together, so a commit costs the disk once for
all connections. Where a journal keeps them meanwhile, a few milliseconds are given to the others to come too, unless
somebody waits. While the database is away the recorder holds the outcomes and tries again; the senders wait meanwhile.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db import close_old_connections, connection
from django.db.utils import InterfaceError, OperationalError

from alerting.channels import channel_disabled_report
from alerting.cycle.context import CycleContext
from alerting.cycle.counts import Counts
from alerting.cycle.inhand import InHand
from alerting.cycle.memory import lacks_memory
from alerting.cycle.outcomes import Outcome, Recorded, outcomes_record
from alerting.cycle.telling import Telling

log = structlog.get_logger(__name__)

Note = Callable[[], None]  # something else to write, between two groups

MOST_AT_ONCE = 500
GATHER_SECONDS = 0.005
_AWAY_SECONDS = 0.2  # between two tries while the database is away
# The database is away; or a large message has filled our memory, which it leaves again: an outcome takes little.
_PASSES = (OperationalError, InterfaceError, MemoryError)


@dataclass(slots=True)
class _Group:
    """What is written together."""

    outcomes: list[Outcome] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    marks: list[threading.Event] = field(default_factory=list)
    last: bool = False

    def add(self, item: Outcome | Note | threading.Event | None) -> None:
        if item is None:
            self.last = True
        elif isinstance(item, Outcome):
            self.outcomes.append(item)
        elif isinstance(item, threading.Event):
            self.marks.append(item)
        else:
            self.notes.append(item)


class Recorder:
    """`begin` before anything leaves, `put` from any thread, `close` when nothing more comes."""

    def __init__(self, context: CycleContext, in_hand: InHand, *, until: float) -> None:
        """`until`: monotonic seconds; a database that stays away longer leaves outcomes unrecorded."""
        self.counts = Counts()
        self.given_up = threading.Event()
        self.lost_claims: set[UUID] = set()  # somebody took them back: their messages are others' by now
        self._context = context
        self._telling = Telling(self.counts, context)
        self._in_hand = in_hand
        self._until = until
        self._gather = 0.0 if context.journal is None else GATHER_SECONDS
        self._hurry = threading.Event()
        self._waiting: queue.SimpleQueue[Outcome | Note | threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def put(self, outcome: Outcome) -> None:
        self._put(outcome)

    def put_note(self, note: Note) -> None:
        """Something else to write; it is called on the recorder's thread, before the outcomes that come with it."""
        self._put(note)

    def hurry(self) -> None:
        """Somebody waits for what was put: no more is to be gathered."""
        self._hurry.set()

    def settle(self) -> None:
        """Wait until all that was put so far is settled."""
        if self._thread is not None:
            mark = threading.Event()
            self._waiting.put(mark)
            self.hurry()
            while not mark.wait(1.0) and self._thread.is_alive():
                continue

    def unrecorded(self, message: int) -> None:
        """What came of this message cannot be kept. It is not given back: its lease runs out, which costs it a death,
        so that it is not sent again and again. The cycle ends."""
        self._in_hand.unrecorded(message)
        self.given_up.set()

    def close(self) -> None:
        """Write what still waits. Returns when all of it is settled."""
        if self._thread is not None:
            self._waiting.put(None)
            self.hurry()
            self._thread.join()
            self._thread = None

    def begin(self) -> None:
        """Start its thread unless it runs. Raises where there is no room for its stack: while nothing has left yet."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name="recorder", daemon=True)
                thread.start()
                self._thread = thread

    def _put(self, item: Outcome | Note) -> None:
        self.begin()
        self._waiting.put(item)

    def _serve(self) -> None:
        last = False
        try:
            while not last:
                group = self._next_group()
                self._work(group)
                last = group.last
        except BaseException:
            self._abandon_rest()  # nobody records any more
            raise
        finally:
            connection.close()

    def _work(self, group: _Group) -> None:
        """Whatever goes wrong, nobody waits for this group any more; a dead thread would be waited for for ever."""
        try:
            self._write(group)
        except Exception as fault:  # even what says that something went wrong needs memory
            for each in group.outcomes:
                self._abandon(each)
            with suppress(Exception):
                log.exception("outcomes_abandoned", outcomes=len(group.outcomes), error=str(fault))
        finally:
            for mark in group.marks:
                mark.set()

    def _write(self, group: _Group) -> None:
        for note in group.notes:  # first: a kind that works again must not be found paused after its outcome
            self._write_note(note)
        self._record(group.outcomes)
        if group.marks or group.last:
            self._tell_rest()

    def _next_group(self) -> _Group:
        """Wait for something, then take all that is there."""
        group = _Group()
        item = self._waiting.get()
        if self._gather and isinstance(item, Outcome):
            with suppress(MemoryError):  # its wait takes some: an outcome must not be lost for that
                self._hurry.wait(self._gather)
            self._hurry.clear()
        while True:
            group.add(item)
            if group.last or len(group.outcomes) >= MOST_AT_ONCE:
                return group
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return group

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        """Together; and where the database refuses the group, each by itself."""
        if not outcomes:
            return
        try:
            recorded = self._written(outcomes)
        except Exception as fault:  # a thread that dies would leave the senders waiting for ever
            if len(outcomes) == 1:
                self._give_up(outcomes[0], fault)
                return
            log.warning("outcomes_recorded_singly", outcomes=len(outcomes), error=str(fault))
            for each in outcomes:
                self._record([each])
            return
        self._in_hand.ended(each.message_id for each in outcomes)
        self.lost_claims |= {each.token for each in outcomes if each.message_id not in recorded.ours}
        for each in outcomes:
            each.settled.set()
        self._tell(outcomes, recorded)

    def _tell(self, outcomes: Sequence[Outcome], recorded: Recorded) -> None:
        """It is in the database by now, so whatever goes wrong here must not look as if it were not."""
        try:
            self._telling.outcomes_tell(outcomes, ours=recorded.ours)
            for channel in recorded.disabled:
                channel_disabled_report(channel)
        except Exception as fault:
            log.exception("outcomes_not_told", outcomes=len(outcomes), error=str(fault))

    def _tell_rest(self) -> None:
        try:
            self._telling.sent_log()
        except Exception as fault:
            log.exception("outcomes_not_told", error=str(fault))

    def _written(self, outcomes: Sequence[Outcome]) -> Recorded:
        while True:
            try:
                return outcomes_record(outcomes, worker=self._context.worker)
            except _PASSES as fault:
                takes_less = len(outcomes) > 1 and lacks_memory(fault)  # each by itself
                if takes_less or self._context.monotonic() + _AWAY_SECONDS > self._until:
                    raise
                waits = "outcomes_wait_for_memory" if lacks_memory(fault) else "outcomes_wait_for_the_database"
                log.warning(waits, outcomes=len(outcomes), error=str(fault))
                close_old_connections()
                time.sleep(_AWAY_SECONDS)

    def _abandon_rest(self) -> None:
        self.given_up.set()
        with suppress(queue.Empty):
            while True:
                item = self._waiting.get_nowait()
                if isinstance(item, Outcome):
                    self._abandon(item)
                elif isinstance(item, threading.Event):
                    item.set()

    def _abandon(self, outcome: Outcome) -> None:
        self.unrecorded(outcome.message_id)
        outcome.settled.set()

    def _give_up(self, outcome: Outcome, fault: Exception) -> None:
        self._abandon(outcome)
        log.error("outcome_not_recorded", message=outcome.message_id, error=str(fault), exc_info=fault)

    def _write_note(self, note: Note) -> None:
        try:
            note()
        except Exception as fault:  # a thread that dies would leave the senders waiting for ever
            log.exception("note_not_recorded", error=str(fault))
