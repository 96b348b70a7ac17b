"""`manage.py watch`: the long-running watch over live feeds, or one run over files.

    watch                                  every active feed, as the admin says from moment to moment
    watch nmea+tcp://HOST:PORT …           these sockets, until stopped
    watch nmea+file:PATH csv+file:PATH …   these files together, in order of time, then exit

Exit 0: done, or stopped by a signal with everything heard committed. Exit 1: it could not commit what it heard within
the deadline of a stop, or a second signal came. Exit 2: a source is wrong, nothing was read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime
from tqdm import tqdm

from resilience.metrics_serving import metrics_begin
from resilience.shutdown import Shutdown
from vessels.feeds import SourceError, is_bounded, parse_source, read_bounded, sha256_of
from vessels.feeds.sources import BoundedSource as BoundedText
from vessels.models import BoundedSource, Feed
from vessels.watch.bounded import BATCH, Pace, ReadSource, Summary, run_bounded
from vessels.watch.listening import Listening, now_microseconds, utc_now
from vessels.watch.live import Totals, active_feeds

WRONG_SOURCE = 2
STOP_SECONDS = 25.0  # what was heard is committed well before, unless the database is away
PLAIN_LINE_EVERY = 5.0  # seconds, where no terminal shows a bar


class Command(BaseCommand):
    help = "Listen to AIS, and write an event when a vessel enters or leaves an area, or goes silent inside it."
    requires_system_checks = ()  # they import every page: half a second, and no page may stop the watch

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("sources", nargs="*", metavar="SOURCE", help="nmea+file:PATH, csv+file:PATH, nmea+tcp://…")
        parser.add_argument("--once", action="store_true", help="End at the end of the files (files always do).")
        parser.add_argument("--again", action="store_true", help="Evaluate files that are finished already.")
        parser.add_argument("--speed", type=positive, metavar="N", help="Replay files at N times real time.")
        parser.add_argument("--start", type=moment, metavar="TIME", help="Time of a file whose reports have none.")
        parser.add_argument(
            "--keep-raw", action="store_true", default=settings.KEEP_RAW, help="Keep raw sentences (KEEP_RAW)."
        )
        parser.add_argument("--batch-size", type=count, default=BATCH, help="Reports per transaction (files).")

    def handle(self, *args: Any, **options: Any) -> None:
        with Shutdown(deadline=STOP_SECONDS) as shutdown:
            self._watch(shutdown, options)

    def _watch(self, shutdown: Shutdown, options: dict[str, Any]) -> None:
        sources = self._parse(options["sources"])
        bounded = [source for source in sources if is_bounded(source)]
        if bounded and len(bounded) < len(sources):
            raise CommandError("files and sockets cannot be watched by one command", returncode=WRONG_SOURCE)
        if options["once"] and not bounded:
            raise CommandError("--once needs files: write nmea+file:PATH or csv+file:PATH", returncode=WRONG_SOURCE)
        if bounded:
            self._run_files(bounded, shutdown, options)
        else:
            self._listen(options["sources"], shutdown, options)

    def _parse(self, texts: Sequence[str]) -> list[Any]:
        try:
            return [parse_source(text) for text in texts]
        except SourceError as error:
            raise CommandError(str(error), returncode=WRONG_SOURCE) from error

    # Files

    def _run_files(self, files: Sequence[BoundedText], shutdown: Shutdown, options: dict[str, Any]) -> None:
        began = time.monotonic()
        try:
            read = self._read_files(files, options)
        except SourceError as error:
            raise CommandError(str(error), returncode=WRONG_SOURCE) from error
        if not read:
            return
        stop = shutdown.stopping
        pace = Pace(
            size=options["batch_size"], speed=options["speed"], stop=stop.is_set, sleep=lambda s: void(stop.wait(s))
        )
        total = sum(len(source.batch) for source in read)
        with shutdown.hold("evaluation"):
            with Meter("evaluating", "reports", total) as meter:
                summary = run_bounded(read, now=now_microseconds, pace=pace, progress=meter)
            self._tell(summary, time.monotonic() - began)

    def _read_files(self, files: Sequence[BoundedText], options: dict[str, Any]) -> list[ReadSource]:
        """Those that are not finished, read whole. A file given twice is read once."""
        known = {sha256_of(file): file for file in reversed(files)}
        read: list[ReadSource] = []
        for sha256, file in reversed(known.items()):
            row = BoundedSource.objects.filter(sha256=sha256, finished_at__isnull=False).first()
            if row is not None and not options["again"]:
                self.stdout.write(f"{file.text}: finished at {row.finished_at:%Y-%m-%d %H:%M}Z, skipped (see --again)")
                continue
            with Meter(f"reading {file.path.name}", "bytes") as meter:
                batch = read_bounded(
                    file, start=options["start"], feed=len(read), progress=meter, keep_raw=options["keep_raw"]
                )
            read.append(ReadSource(self._row(sha256, file), batch))
        return read

    def _row(self, sha256: str, file: BoundedText) -> BoundedSource:
        feed, _ = Feed.objects.get_or_create(
            name=file.text[:300], defaults={"source": file.text[:2000], "active": False}
        )
        row, _ = BoundedSource.objects.get_or_create(sha256=sha256, defaults={"feed": feed, "started_at": utc_now()})
        return row

    def _tell(self, summary: Summary, seconds: float) -> None:
        counts = summary.counts
        said = {
            "messages": counts.messages,
            "positions": counts.positions,
            "repeats": counts.repeats,
            "late": counts.late,
            "suspects": counts.suspects,
        }
        self.stdout.write(", ".join(f"{name} {number:,}" for name, number in said.items()))
        self.stdout.write("rejected: " + listed(summary.rejected))
        self.stdout.write(f"events: {listed(summary.events)} (new {summary.new_events:,})")
        self.stdout.write(f"{'stopped' if summary.stopped else 'finished'} after {seconds:.1f} s")

    # Sockets

    def _listen(self, texts: Sequence[str], shutdown: Shutdown, options: dict[str, Any]) -> None:
        feeds: Callable[[], Sequence[Feed]] = active_feeds
        if texts:
            given = [self._live_feed(text).pk for text in texts]
            feeds = lambda: list(Feed.objects.filter(pk__in=given))  # noqa: E731
        began = time.monotonic()
        stop_metrics = metrics_begin("watch", host=settings.METRICS_HOST, port=settings.METRICS_PORT)
        shutdown.server("metrics", lambda seconds: stop_metrics(), deadline=5)
        with shutdown.hold("watch"):
            listening = Listening(feeds=feeds, stop=shutdown.stopping, keep_raw=options["keep_raw"])
            self._tell(as_summary(listening.run()), time.monotonic() - began)
        if listening.lost is not None:
            raise CommandError(f"the database was away: {listening.lost} reports that were heard are not committed")

    def _live_feed(self, text: str) -> Feed:
        """A socket on the command line is a feed of its own, which `watch` without sources leaves alone."""
        feed = Feed.objects.filter(source=text).order_by("id").first()
        return feed or Feed.objects.create(name=text[:300], source=text, active=False)


class Meter:
    """Progress: a bar on a terminal, a plain line every few seconds elsewhere."""

    def __init__(self, what: str, unit: str, total: int | None = None) -> None:
        self.what, self.unit, self.total = what, unit, total
        self.bar = tqdm(total=total, desc=what, unit=f" {unit}", unit_scale=True, disable=not sys.stderr.isatty())
        self.last_line = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        self.bar.total = total
        self.bar.update(done - self.bar.n)
        if self.bar.disable and time.monotonic() - self.last_line > PLAIN_LINE_EVERY:
            self.last_line = time.monotonic()
            sys.stderr.write(f"{self.what}: {done:,} of {total:,} {self.unit}\n")

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.close()


def as_summary(totals: Totals) -> Summary:
    summary = Summary(counts=totals.counts, new_events=sum(totals.events.values()), stopped=True)
    summary.rejected.update(totals.rejected)
    summary.events.update(totals.events)
    return summary


def listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(numbers.items())) or "none"


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def moment(text: str) -> datetime:
    """A time; without a zone it is UTC."""
    parsed = parse_datetime(text)
    if parsed is None:
        raise ValueError(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def void(_: object) -> None:
    """For callers that want no answer."""
