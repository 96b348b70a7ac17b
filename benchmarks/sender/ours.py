"""Ours, a process of its own: `python -m benchmarks.sender.ours MESSAGES PROCESSES prepared|rendered`.

What runs is the send cycle that the workers run, with the connections of `MAIL_CONNECTIONS`. With several processes
each has that many, like as many deployments on one machine.
"""

from __future__ import annotations

import multiprocessing
import sys

import django


def main(messages: int, processes: int, words: str) -> None:
    django.setup()
    from django.db import connections as databases
    from django.utils import timezone

    from alerting.models import Attempt
    from benchmarks.sender.cycles import send_until_done
    from benchmarks.sender.measured import tell
    from benchmarks.stage.rows import notifications_make, prepared_make, queue_clear

    queue_clear()
    (notifications_make if words == "rendered" else prepared_make)(messages, now=timezone.now())

    def send() -> None:
        if processes == 1:
            send_until_done()
            return
        databases.close_all()
        fork = multiprocessing.get_context("fork")
        others = [fork.Process(target=send_until_done) for _ in range(processes)]
        for other in others:
            other.start()
        for other in others:
            other.join()

    def sent() -> int:
        return Attempt.objects.filter(outcome="sent", message__state="sent").count()

    tell(send, messages=messages, sent=sent)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
