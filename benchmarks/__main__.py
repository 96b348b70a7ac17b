"""`python -m benchmarks [NAME…]`: measures all benchmarks, or those named. Exit code 1: one broke a promise."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from pathlib import Path

import django

import benchmarks
from benchmarks import frame

RECORD = Path("var/bench.jsonl")
NO_CASES = ("frame", "stage", "__main__")


def names() -> list[str]:
    """Every module of the package that holds cases."""
    return sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in NO_CASES)


def main(wanted: list[str]) -> int:
    known = names()
    if unknown := [name for name in wanted if name not in known]:
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(known) or 'none'}", file=sys.stderr)
        return 2
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    print(frame.HEADER)
    broken = False
    for name in wanted or known:
        module = importlib.import_module(f"benchmarks.{name}")
        for result in frame.measure_all(name, module.cases(), RECORD):
            print(frame.row(result), flush=True)
            broken = broken or result.broken
    print(f"\nEach line is kept in {RECORD}.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
