"""Ours, a process of its own: `python -m benchmarks.sender.ours MESSAGES CONNECTIONS PROCESSES prepared|rendered`.

What runs is the send cycle that the workers run. With several processes each has its share of the connections, like as
many deployments on one machine.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from dataclasses import replace

import django

GIVE_UP_SECONDS = 280.0


def main(messages: int, connections: int, processes: int, words: str) -> None:
    django.setup()
    from django.db import connections as databases
    from django.utils import timezone

    from alerting.models import Attempt
    from benchmarks.sender.measured import tell
    from benchmarks.stage.rows import notifications_make, prepared_make, queue_clear

    queue_clear()
    (notifications_make if words == "rendered" else prepared_make)(messages, now=timezone.now())
    share = -(-connections // processes)

    def send() -> None:
        if processes == 1:
            send_until_done(share)
            return
        databases.close_all()
        fork = multiprocessing.get_context("fork")
        others = [fork.Process(target=send_until_done, args=(share,)) for _ in range(processes)]
        for other in others:
            other.start()
        for other in others:
            other.join()

    def sent() -> int:
        return Attempt.objects.filter(outcome="sent", message__state="sent").count()

    tell(send, messages=messages, sent=sent)


def send_until_done(connections: int) -> None:
    """Cycles until nothing is pending. One ends early when another process holds all that is due."""
    from alerting.cycle.context import REALTIME, CycleContext
    from alerting.cycle.run import send_cycle
    from alerting.models import Message, State

    until = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < until:
        send_cycle(replace(CycleContext(cadence=REALTIME), limits=lambda kind: Limits(connections)))
        if not Message.objects.filter(state=State.PENDING).exists():
            return
        time.sleep(0.005)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
