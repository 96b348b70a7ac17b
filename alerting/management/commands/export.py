"""`manage.py export events|notifications`: streams rows out for other programs."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organisation
from alerting.export import Selection, event_rows, notification_rows, write_rows

_ROWS = {"events": event_rows, "notifications": notification_rows}


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a time; write 2025-01-31 or 2025-01-31T12:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Write events or notifications to standard output, or to a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=sorted(_ROWS))
        parser.add_argument("--format", choices=["jsonl", "csv"], default="jsonl", dest="form")
        parser.add_argument("--since", type=_time, help="From this time on (UTC unless it says a zone).")
        parser.add_argument("--until", type=_time, help="Before this time.")
        parser.add_argument("--organisation", metavar="SLUG")
        parser.add_argument("--output", metavar="FILE", help="Instead of standard output.")

    def handle(
        self,
        *,
        what: str,
        form: str,
        since: datetime | None,
        until: datetime | None,
        organisation: str | None,
        output: str | None,
        **_: Any,
    ) -> None:
        selection = Selection(since=since, until=until, organisation=_organisation(organisation))
        rows = _ROWS[what](selection)
        if output:
            with open(output, "w", encoding="utf-8", newline="") as file:
                count = write_rows(rows, file, form="csv" if form == "csv" else "jsonl")
            self.stderr.write(f"{count} {what} written to {output}.")
            return
        try:
            write_rows(rows, self.stdout, form="csv" if form == "csv" else "jsonl")
        except BrokenPipeError:  # the reader, such as `head`, has had enough
            sys.stdout = None
            sys.exit(0)


def _organisation(slug: str | None) -> Organisation | None:
    if slug is None:
        return None
    found = Organisation.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Organisation.objects.order_by("slug").values_list("slug", flat=True)[:10]) or "none"
        raise CommandError(f"There is no organisation {slug!r}; known: {known}")
    return found
