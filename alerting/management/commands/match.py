"""`manage.py match`: match all events that wait, once; `worker realtime` does it all the time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from alerting.matching import matching_step


class Command(BaseCommand):
    help = "Make the notifications of all events that no rule has looked at, then end. Workers send them."

    def handle(self, **_: Any) -> None:
        taken = 0
        while step := matching_step(now=timezone.now()):
            taken += step
        self.stdout.write(f"{taken} matched.")
