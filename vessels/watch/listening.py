"""The loop around the live watch: who listens, who stands by, what is looked at again every second.

1. wait for the live shard (stand by while another process has it)
2. keep one listening thread for each feed, as the list of feeds says now
3. hand batches to the watch as they come; once a second: areas, feeds, a sign of life, the shard
4. when told to stop: stop listening, commit what was heard, leave; where the database is away, say what is lost
"""

from __future__ import annotations

import threading
import time as clock_of_this_machine
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, Full, Queue

import structlog
from django.db import Error, connection

from resilience.heartbeats import beat
from vessels.feeds import FeedState, LiveSource, SourceError, open_live, parse_source
from vessels.models import Feed
from vessels.reports import Batch
from vessels.watch.events import to_microseconds
from vessels.watch.live import DatabaseAway, LiveWatch, Totals, shard_taken

log = structlog.get_logger(__name__)

HEARTBEAT = "watch"
LOOK_AGAIN = 1.0  # seconds
RETRY = 1.0
# Batches that wait for the database; a full queue holds the listeners back, and TCP the sender.
QUEUED = 1_000


def utc_now() -> datetime:
    return datetime.now(UTC)


def now_microseconds() -> int:
    return to_microseconds(utc_now())


@dataclass(slots=True)
class Listener:
    """One thread that reads one feed until it is told to stop."""

    feed: int
    source: LiveSource
    keep_raw: bool
    queue: Queue[tuple[int, Batch]]
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"feed {self.feed}", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()

    def _run(self) -> None:
        """Whatever goes wrong with a feed is logged and tried again: it is nobody else's matter."""
        while not self.stopping.is_set():
            try:
                for batch in open_live(
                    self.source,
                    feed=self.feed,
                    clock=utc_now,
                    stop=self.stopping,
                    report=self._report,
                    keep_raw=self.keep_raw,
                ):
                    if len(batch) or batch.rejected:
                        self._hand_over(batch)
            except Exception:
                log.exception("feed_failed", feed=self.feed, source=self.source.text)
            self.stopping.wait(RETRY)

    def _report(self, state: FeedState) -> None:
        tell = log.info if state.event == "feed_connected" or self.stopping.is_set() else log.warning
        tell(state.event, feed=self.feed, source=state.source, reason=state.reason, retry_in=state.retry_in)

    def _hand_over(self, batch: Batch) -> None:
        while True:
            try:
                return self.queue.put((self.feed, batch), timeout=0.2)
            except Full:
                if self.stopping.is_set():
                    log.critical("feed_batch_dropped", feed=self.feed, reports=len(batch))
                    return None


class Listening:
    """The loop. `feeds` says which feeds to listen to now; `stop` is set by a signal."""

    def __init__(self, *, feeds: Callable[[], Sequence[Feed]], stop: threading.Event, keep_raw: bool = False) -> None:
        self.feeds = feeds
        self.stop = stop
        self.keep_raw = keep_raw
        self.queue: Queue[tuple[int, Batch]] = Queue(QUEUED)
        self.listeners: dict[int, Listener] = {}
        self.complaints: dict[int, str] = {}
        self.watch: LiveWatch | None = None
        self.lost: int | None = None  # reports that could not be committed before we had to leave

    def run(self) -> Totals:
        if not self._wait_for_shard():
            return Totals()
        self.watch = LiveWatch(now=now_microseconds, stop=self.stop)
        log.info("watch_started", vessels=len(self.watch.watch.vessels), areas=len(self.watch.watch.areas.by_id))
        try:
            while not self.stop.is_set():
                self._look_again()
                self._take_until(clock_of_this_machine.monotonic() + LOOK_AGAIN)
        finally:
            self._leave()
        return self.watch.totals

    def _wait_for_shard(self) -> bool:
        told = False
        while not self.stop.is_set():
            try:
                if shard_taken():
                    return True
                if not told:
                    log.info("watch_standing_by", why="another watch has the live shard")
                    told = True
            except Error as error:
                log.warning("watch_database_lost", error=str(error))
                connection.close()
            self.stop.wait(LOOK_AGAIN)
        return False

    def _look_again(self) -> None:
        """Once a second. A database that is away is waited for by `LiveWatch.take`; here it is only noted."""
        assert self.watch is not None
        try:
            if not shard_taken():
                log.warning("watch_shard_lost", why="another watch took it while our connection was away")
                self._wait_for_shard()
                self.watch.load()
            self._follow_feeds(self.feeds())
            self.watch.refresh()
            beat(HEARTBEAT, now=utc_now())
        except Exception as error:
            log.exception("watch_look_failed", error=str(error))
            connection.close()

    def _take_until(self, moment: float) -> None:
        while not self.stop.is_set() and (left := moment - clock_of_this_machine.monotonic()) > 0:
            try:
                feed, batch = self.queue.get(timeout=min(left, 0.2))
            except Empty:
                continue
            self._take(feed, batch)

    def _take(self, feed: int, batch: Batch) -> None:
        """To the watch; once a batch was lost, so are those behind it: nothing may overtake."""
        assert self.watch is not None
        if self.lost is None:
            try:
                self.watch.take(batch, feed=feed)
            except DatabaseAway:
                self.lost = len(batch)
        else:
            self.lost += len(batch)

    # Listeners

    def _follow_feeds(self, feeds: Sequence[Feed]) -> None:
        """Start, stop and restart listeners so that they are the ones that the feeds' rows ask for."""
        wanted = {feed.pk: feed.source for feed in feeds}
        for number, listener in list(self.listeners.items()):
            if wanted.get(number) != listener.source.text:
                log.info("feed_stopped", feed=number, source=listener.source.text)
                listener.stop()
                del self.listeners[number]
        for number, text in wanted.items():
            source = self._live_source(number, text) if number not in self.listeners else None
            if source is not None:
                self._know(number)
                self.listeners[number] = Listener(number, source, self.keep_raw, self.queue)
                self.listeners[number].start()
                log.info("feed_started", feed=number, source=text)

    def _live_source(self, number: int, text: str) -> LiveSource | None:
        try:
            source = parse_source(text)
        except SourceError as error:
            self._complain(number, str(error))
            return None
        if isinstance(source, LiveSource):
            return source
        self._complain(number, "a file is not listened to: evaluate it with `watch` and its name")
        return None

    def _complain(self, number: int, fault: str) -> None:
        """Once, not every second."""
        if self.complaints.get(number) != fault:
            self.complaints[number] = fault
            log.error("feed_source_is_wrong", feed=number, error=fault)

    def _know(self, number: int) -> None:
        """A feed that is new since the state was loaded has no clock yet."""
        assert self.watch is not None
        if number not in self.watch.watch.clocks:
            self.watch.load()

    def _leave(self) -> None:
        """Stop listening, then commit what was heard until now."""
        for listener in self.listeners.values():
            listener.stop()
        for listener in self.listeners.values():
            if listener.thread is not None:
                listener.thread.join(timeout=5)
        while self.watch is not None and not self.queue.empty():
            self._take(*self.queue.get_nowait())
        if self.lost is not None:
            log.critical("watch_reports_lost", reports=self.lost, why="told to stop while the database was away")
        log.info("watch_stopped")
