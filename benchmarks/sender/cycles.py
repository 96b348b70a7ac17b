"""Our send cycle as the workers of a deployment run it. To be imported when Django is set up."""

from __future__ import annotations

import time

from alerting.cycle.context import REALTIME, CycleContext
from alerting.cycle.run import send_cycle
from alerting.models import Message, State
from alerting.transports import transport_for
from alerting.transports.kept import KeptTransports
from alerting.workers.journals import journal_here
from alerting.workers.this_worker import imports_freeze

GIVE_UP_SECONDS = 280.0


def send_until_done() -> None:
    """Cycles until nothing is pending. One ends early when another process holds all that is due."""
    imports_freeze()
    kept = KeptTransports(transport_for)
    until = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < until:
        send_cycle(CycleContext(cadence=REALTIME, journal=journal_here(), transport=kept.transport))
        if not Message.objects.filter(state=State.PENDING, lease=None).exists():
            return
        time.sleep(0.005)
