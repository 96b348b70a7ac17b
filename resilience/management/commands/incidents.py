"""`manage.py incidents`: lists open incidents, or tells Slack what waits (`--post`)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from resilience.models import Incident
from resilience.poster import post_waiting
from resilience.slack import slack_from_settings


class Command(BaseCommand):
    help = "Lists open incidents; with --post sends those that wait to Slack."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--post", action="store_true", help="send to Slack what waits")
        parser.add_argument("--seconds", type=float, default=60.0, help="stop posting after this time (60)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["post"]:
            for incident in Incident.objects.open():
                when = f"{incident.last_at:%Y-%m-%dT%H:%M:%SZ}"
                self.stdout.write(
                    f"{when} {incident.severity} {incident.kind} ({incident.count} times): {incident.summary}"
                )
            return
        if slack_from_settings() is None:
            raise CommandError("Slack is not set up: SLACK_WEBHOOK_URL, or SLACK_BOT_TOKEN and SLACK_CHANNEL.")
        self.stdout.write(f"Calls to Slack: {post_waiting(seconds=options['seconds'])}")
