"""`manage.py apply FILE.yaml`: configuration as code."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from alerting.setup.apply import apply_document
from alerting.setup.document import SetupError, read_document


class Command(BaseCommand):
    help = "Create or update organisations, users, areas, watchlists, rules, subscriptions and feeds from a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE.yaml")
        parser.add_argument("--dry-run", action="store_true", help="Print what would change, and change nothing.")

    def handle(self, *, files: list[Path], dry_run: bool, **_: Any) -> None:
        for path in files:
            try:
                changes = apply_document(read_document(path), now=timezone.now(), dry_run=dry_run)
            except SetupError as fault:
                raise CommandError(f"Nothing was changed.\n{fault}") from fault
            for change in changes:
                self.stdout.write(str(change))
            done = "would change" if dry_run else "changed"
            self.stdout.write(f"{path}: {len(changes)} {done}." if changes else f"{path}: nothing to change.")
