"""Looks for django-post_office's best settings on this machine: `python -m benchmarks.sender.tuning [ROUNDS]`.

Half a grid of processes, threads and batch sizes at 0 ms, then ways to split 20 and 60 connections at 20 ms; each in
turn, `ROUNDS` times. What is best goes into `__init__.py`.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import django

# processes, threads, batch
FAST = ((1, 5, 5000), (2, 2, 5000), (2, 5, 1000), (2, 5, 5000), (4, 2, 5000), (4, 5, 1000), (4, 5, 5000), (8, 3, 5000))
SLOW_20 = ((2, 10, 5000), (4, 5, 1000), (4, 5, 5000), (10, 2, 5000))
SLOW_60 = ((2, 30, 5000), (4, 15, 5000), (6, 10, 5000), (12, 5, 5000))


def main(rounds: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.conf import settings

    from benchmarks.sender.rounds import PostOffice, post_office_sender
    from benchmarks.stage.databases import throw_away

    peers = "benchmarks.sender.peer_settings"
    with (
        tempfile.TemporaryDirectory() as var,
        throw_away(settings.DATABASE_URL, "peers", settings=peers, var=Path(var)) as environment,
    ):
        for delay, grid in ((0.0, FAST), (0.02, SLOW_20), (0.02, SLOW_60)):
            rates = defaultdict(list)
            for _ in range(rounds):
                for each in grid:
                    measured = post_office_sender(environment, PostOffice(*each)).run(delay=delay)
                    rates[PostOffice(*each)].append(measured.rate)
            for choice, found in sorted(rates.items(), key=lambda item: -statistics.median(item[1])):
                print(f"{delay * 1000:.0f} ms, {choice}: {statistics.median(found):.0f}/s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
