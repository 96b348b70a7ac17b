"""Recovery: what servers accepted and a process that died did not record, from the journals that were left behind.

It goes before the claims of the dead are taken back: what was accepted must not be sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import structlog
from django.db import transaction

from alerting.cycle.counts import RECOVERED
from alerting.cycle.journal import Accepted, journal_left, journals_left, readers_turn, worker_of
from alerting.cycle.outcomes import Next, row_of, rows_write
from alerting.models import Attempt, Message, State
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)


def acceptances_recover(folder: Path) -> int:
    """From all journals there whose process is gone; how many the database did not know. May be called at any time, by
    any number of processes: when it returns nothing is left to read. Raises what the database does, and `TimeoutError`
    where another process reads for long: the journals stay then."""
    if not journals_left(folder):
        return 0
    with readers_turn(folder):
        return sum(_recover(path) for path in journals_left(folder))


def _recover(path: Path) -> int:
    """One that cannot be read, as another user's, keeps none of the others from being read."""
    try:
        with journal_left(path) as left:
            if not left:
                return 0
            recovered = _record(left, worker=worker_of(path))
    except OSError as fault:
        incident_report(
            kind="journal_unreadable",
            summary=f"A journal cannot be read, and what was accepted last may be sent again: {fault}.",
            fingerprint=f"journal_unreadable:{path.name}",
            error=fault,
            details={"journal": str(path)},
        )
        return 0
    if recovered:
        RECOVERED.inc(len(recovered))
        log.warning("acceptances_recovered", messages=recovered, worker=worker_of(path))
    return len(recovered)


@transaction.atomic
def _record(left: Sequence[Accepted], *, worker: str) -> list[int]:
    """Most are known: a place is written over only long after its outcome was recorded."""
    keys = {each.message_id for each in left}
    # locked: the database may still be at work on the last thing that the dead asked of it
    there = set(Message.objects.select_for_update().filter(pk__in=keys).order_by("pk").values_list("pk", flat=True))
    known = set(Attempt.objects.filter(message__in=there).values_list("message_id", "claim_token"))
    new = [one for one in left if one.message_id in there and (one.message_id, one.token) not in known]
    if new:
        rows_write([row_of(one.message_id, one.token, one.tried, Next(State.SENT), worker) for one in new])
    return [one.message_id for one in new]
