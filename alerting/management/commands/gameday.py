"""`manage.py gameday [DRILL…]`: replay outages against the running code, in a throw-away database."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alerting.gameday.database import NoDatabase
from alerting.gameday.drill import Drill
from alerting.gameday.drills import DRILLS
from alerting.gameday.runner import GameDay, Watch, game_day
from alerting.gameday.verdict import Verdict, table


class Command(BaseCommand):
    """Exits 1 if a promise broke. Of the installation only the database server is used."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("drill", nargs="*", help="which drills; all of them where none is named")
        parser.add_argument(
            "--list", dest="only_list", action="store_true", help="name the drills and what each promises"
        )
        parser.add_argument("--watch", action="store_true", help="serve the pages while one drill is played")
        parser.add_argument("--port", type=int, default=8001, help="the port of --watch on loopback (8001)")
        parser.add_argument("--keep", action="store_true", help="keep the drills' logs")

    def handle(
        self, *args: Any, drill: list[str], only_list: bool, watch: bool, port: int, keep: bool, **options: Any
    ) -> None:
        if only_list:
            self._list()
            return
        chosen = self._chosen(drill)
        if watch and len(chosen) != 1:
            raise CommandError("--watch takes one drill: gameday --watch DRILL")
        signal.signal(signal.SIGTERM, _leave)
        try:
            with game_day(keep=keep) as day:
                verdicts = [self._play(day, one, self._watch(port) if watch else None) for one in chosen]
                if keep:
                    self.stdout.write(f"The logs are in {day.folder}")
        except NoDatabase as fault:
            raise CommandError(f"No game day: {fault}.") from fault
        except KeyboardInterrupt:
            raise CommandError("Stopped; the databases and processes are gone.") from None
        if not watch:  # who watched has seen it
            self._tell(verdicts)
        sys.exit(1 if any(one.failed for one in verdicts) else 0)

    def _list(self) -> None:
        for one in DRILLS.values():
            self.stdout.write(f"{one.name}: {one.broke}\n    {one.promise}")

    def _chosen(self, names: list[str]) -> list[Drill]:
        if unknown := [name for name in names if name not in DRILLS]:
            raise CommandError(f"There is no drill {unknown[0]!r}; gameday --list names them.")
        return [DRILLS[name] for name in names or DRILLS]

    def _play(self, day: GameDay, drill: Drill, watch: Watch | None) -> Verdict:
        self.stderr.write(f"{drill.name} …", ending=" ")
        self.stderr.flush()
        verdict = day.play(drill, watch=watch)
        self.stderr.write(f"{verdict.word} after {verdict.seconds:.1f} s")
        return verdict

    def _tell(self, verdicts: list[Verdict]) -> None:
        self.stdout.write(table(verdicts))
        for verdict in verdicts:
            for promise in verdict.broken:
                self.stdout.write(f"{verdict.drill}: {promise.line()}")

    def _watch(self, port: int) -> Watch:
        def begin(pages: str) -> None:
            address, email, password = pages.split()
            self.stdout.write(f"\nThe pages are on {address}: sign in as {email} with {password}")
            _wait_for_enter("Enter begins the drill. ")

        def end(verdict: Verdict) -> None:
            self._tell([verdict])
            try:
                _wait_for_enter("The pages stay until Enter or Ctrl-C. ", or_signal=True)
            except KeyboardInterrupt:
                self.stdout.write("")

        return Watch(port, begin, end)


def _wait_for_enter(words: str, *, or_signal: bool = False) -> None:
    """Where there is no terminal: go on at once, or wait for SIGINT or SIGTERM."""
    if sys.stdin.isatty():
        input(words)
    elif or_signal:
        signal.pause()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
