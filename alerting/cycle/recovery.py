"""Recovery: what servers accepted and nobody lived to record, from the journals that were left behind.

It goes before the claims of the dead are taken back: what was accepted must not be sent again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.db import connection, transaction
from django.db.utils import DataError, IntegrityError
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from alerting.cycle.counts import POSSIBLE_REPEATS, RECOVERED
from alerting.cycle.journal import (
    LONGEST_TURN_SECONDS,
    Accepted,
    journal_taken,
    journals_in,
    readers_turn,
    worker_of,
)
from alerting.cycle.outcomes import row_of, rows_write
from alerting.models import Attempt, Lease, Message
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)

# Somebody may hold a message's row: others must not wait for it.
_SHORTLY = "SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '3s'"
# What cannot be read for so long keeps no claim from being taken back any more.
PATIENCE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """How many acceptances the database did not know, and whose journals are still to be read: their claims wait."""

    recovered: int = 0
    unread: frozenset[str] = frozenset()


def acceptances_recover(folder: Path, *, worker: str = "", turn: float = LONGEST_TURN_SECONDS) -> Recovery:
    """From all journals there whose process is gone, or from those of one worker that is known to be dead.

    May be called at any time, by any number of processes. Raises what the database does when it is away, and `OSError`
    where the folder cannot be used; what is not recorded stays.
    """
    paths = [path for path in journals_in(folder) if worker in ("", worker_of(path))]
    if not paths:
        return Recovery()
    recovered, unread = 0, set[str]()
    try:
        with readers_turn(folder, seconds=turn):
            for path in paths:
                found = _recover(path)
                recovered += len(found or ())
                if (found is None and _is_young(path)) or (worker and path.exists()):  # the dead may be dying still
                    unread.add(worker_of(path))
    except TimeoutError as fault:
        log.warning("journals_not_read", folder=str(folder), error=str(fault))
        unread.update(worker_of(path) for path in paths if _is_young(path))
    return Recovery(recovered, frozenset(unread))


def _recover(path: Path) -> list[int] | None:
    """The messages that are sent by it. None where it cannot be read or recorded, which keeps no other from it."""
    recovered: list[int] = []
    try:
        with journal_taken(path) as left:
            if left:
                recovered = _record(left, worker=worker_of(path))
    except (OSError, DatabaseFault) as fault:
        if isinstance(fault, DatabaseFault) and (connection.connection is None or connection.connection.closed):
            raise
        incident_report(
            kind="journal_unread",
            summary=f"What a worker left word of, as accepted, cannot be read or recorded: {fault}",
            fingerprint=f"journal_unread:{path.name}",
            error=fault,
            details={"journal": str(path)},
        )
        return None
    if recovered:
        RECOVERED.inc(len(recovered))
        log.warning("acceptances_recovered", messages=recovered, worker=worker_of(path))
    return recovered


def _is_young(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < PATIENCE_SECONDS
    except OSError:
        return False


def _record(left: Sequence[Accepted], *, worker: str) -> list[int]:
    """Together; and where a row is at fault, each by itself. Returns those that are sent by it."""
    try:
        return _write(left, worker=worker)
    except (DataError, IntegrityError) as fault:  # any other is the database's own fault: it will take them later
        if len(left) == 1:
            _tell_refused(left[0], fault)
            return []
    return [message for one in left for message in _record([one], worker=worker)]


@transaction.atomic
def _write(left: Sequence[Accepted], *, worker: str) -> list[int]:
    """Most are known: a place is written over only after its outcome was recorded."""
    with connection.cursor() as cursor:
        cursor.execute(_SHORTLY)
    keys = {each.message_id for each in left}
    # The last statement of the dead may be at work still. It gives the lease up with what it records: once the lease is
    # ours, or gone, all that it recorded is seen.
    list(Lease.objects.select_for_update().filter(pk__in=keys).order_by("pk"))
    there = set(Message.objects.filter(pk__in=keys).values_list("pk", flat=True))
    known = set(Attempt.objects.filter(message__in=there).values_list("message_id", "claim_token"))
    new = [one for one in left if one.message_id in there and (one.message_id, one.token) not in known]
    if not new:
        return []
    ours = rows_write([row_of(one.message_id, one.token, one.tried) for one in new], worker=worker)
    for one in new:
        if one.message_id not in ours:  # taken back already: it is sent again, or was
            POSSIBLE_REPEATS.inc()
            log.warning("outcome_fenced", message=one.message_id)
    return sorted(ours)


def _tell_refused(accepted: Accepted, fault: Exception) -> None:
    incident_report(
        kind="acceptance_refused",
        summary=f"Message {accepted.message_id} was accepted, but the database refuses that outcome: {fault}"
        " It may be sent again.",
        fingerprint=f"acceptance_refused:{accepted.message_id}",
        error=fault,
        details={"message": accepted.message_id, "answer": accepted.tried.answer},
    )
