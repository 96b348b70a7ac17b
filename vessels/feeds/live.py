"""Live feeds: sentences from a TCP server or UDP datagrams, as a stream of small batches.

A lost connection is tried again for ever, with growing and jittered pauses; a stop ends every wait within a
quarter of a second.
"""

from __future__ import annotations

import random
import time as monotonic_time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from vessels.feeds import rejections
from vessels.feeds.messages import read_message
from vessels.feeds.rows import RowCollector
from vessels.feeds.sentences import SentenceReader
from vessels.feeds.sockets import Connection, listen_udp, open_tcp
from vessels.feeds.sources import LiveSource, NmeaTcp
from vessels.reports import Batch

MAX_AHEAD = 10 * 60 * 1_000_000  # µs; EVENTS.md, rule 3
MAX_WAIT = 0.25  # seconds until a batch is handed on
MAX_SENTENCES = 1_000  # lines until a batch is handed on
FIRST_PAUSE = 0.5  # seconds before the first reconnection
LONGEST_PAUSE = 30.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Stop(Protocol):
    """`threading.Event`, or what behaves like it."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class FeedState:
    """A change of a feed's connection, for logs and metrics.

    `event` is `feed_connected` (of UDP: listening) or `feed_disconnected`; `reason` says why it was lost or not
    made, `retry_in` how many seconds until the next try.
    """

    event: str
    source: str
    reason: str = ""
    retry_in: float | None = None


Report = Callable[[FeedState], None]


def open_live(
    source: LiveSource,
    *,
    feed: int,
    clock: Callable[[], datetime],
    stop: Stop,
    report: Report = lambda state: None,
    random_unit: Callable[[], float] = random.random,
    keep_raw: bool = False,
) -> Iterator[Batch]:
    """Batches until `stop` is set; never ends and never raises by itself.

    A batch comes at the latest `MAX_WAIT` after its first line or with `MAX_SENTENCES` lines; an empty one comes
    while nothing is heard, about as often, so that the caller's own timers run. `clock` gives aware UTC times: the
    time of reception, which is also the event time of sentences that carry none. `ordinal` counts lines over all
    connections. `report` is called from the iterating thread.
    """
    reading = _Reading(source, feed=feed, clock=clock, stop=stop, keep_raw=keep_raw)
    pause = FIRST_PAUSE
    while not stop.is_set():
        try:
            connection = open_tcp(source, stop) if isinstance(source, NmeaTcp) else listen_udp(source)
        except OSError as error:
            reason = str(error)
        else:
            if connection is None:  # stopped while connecting
                return
            report(FeedState("feed_connected", source.text))
            heard_before = reading.messages
            with connection:
                reason = yield from reading.until_lost(connection)
            if reading.messages > heard_before:
                pause = FIRST_PAUSE  # only a server that speaks AIS is a good one
        if stop.is_set():
            report(FeedState("feed_disconnected", source.text, "stopped"))
            return
        wait = pause * (0.5 + random_unit() / 2)
        report(FeedState("feed_disconnected", source.text, reason, retry_in=wait))
        pause = min(pause * 2, LONGEST_PAUSE)
        yield from reading.empty_while_waiting(wait)


class _Reading:
    """Lines of one live source into batches, over all its connections."""

    def __init__(
        self, source: LiveSource, *, feed: int, clock: Callable[[], datetime], stop: Stop, keep_raw: bool
    ) -> None:
        self.source = source
        self.feed = feed
        self.clock = clock
        self.stop = stop
        self.keep_raw = keep_raw
        self.messages = 0
        self.ordinal = 0
        self._into = self._collector()
        self._reader = SentenceReader(self._into.rejected)

    def until_lost(self, connection: Connection) -> Generator[Batch, None, str]:
        """Batches from one connection; its return value says why it ended."""
        deadline = monotonic_time.monotonic() + MAX_WAIT
        taken = 0
        reason = "stopped"
        while not self.stop.is_set():
            lines, lost = connection.read_lines(max(0.0, deadline - monotonic_time.monotonic()))
            for line in lines:
                self._line(line)
                taken += 1
                if taken >= MAX_SENTENCES:
                    yield self._hand_on()
                    taken = 0
            if lost is not None:
                reason = lost
                break
            if monotonic_time.monotonic() >= deadline:
                yield self._hand_on()
                taken = 0
                deadline = monotonic_time.monotonic() + MAX_WAIT
        self._reader.finish()
        yield self._hand_on()
        # What was said of a next sentence does not hold for the next connection's.
        self._reader = SentenceReader(self._into.rejected)
        return reason

    def empty_while_waiting(self, seconds: float) -> Iterator[Batch]:
        """Pause, ended at once by the stop, with empty batches now and then."""
        end = monotonic_time.monotonic() + seconds
        while (left := end - monotonic_time.monotonic()) > 0:
            if self.stop.wait(min(left, MAX_WAIT)):
                return
            yield self._hand_on()

    def _line(self, line: bytes) -> None:
        ordinal = self.ordinal
        self.ordinal += 1
        message = self._reader.read(line)
        if message is None:
            return
        self.messages += 1
        now = (self.clock() - _EPOCH) // timedelta(microseconds=1)
        time = message.tag.time if message.tag.time is not None else now
        if time > now + MAX_AHEAD:
            self._into.rejected.add(rejections.FROM_THE_FUTURE, message.raw)
            return
        read_message(message, into=self._into, time=time, received_at=now, ordinal=ordinal)

    def _hand_on(self) -> Batch:
        batch = self._into.batch()
        self._into = self._collector()
        self._reader.rejected = self._into.rejected
        return batch

    def _collector(self) -> RowCollector:
        return RowCollector(feed=self.feed, keep_raw=self.keep_raw)
