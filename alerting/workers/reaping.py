"""Claims of dead workers: back into the queue, or into quarantine with an incident."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog
from django.db import connection
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from alerting.cycle.queue import Reaped, reap, reap_worker
from alerting.workers.journals import recovery_of, recovery_step
from resilience.incidents import incident_report
from resilience.ledger.book import STATEMENT_TIMEOUT

log = structlog.get_logger(__name__)


def reap_step(*, now: datetime) -> int:
    """Leases that ran out: back in the queue, or quarantined with an incident. What dead workers left word of is read
    first; while a journal cannot be, its worker's claims wait. A folder that cannot be used holds nothing up."""
    unread: frozenset[str] = frozenset()
    try:
        unread = recovery_step().unread
    except OSError as fault:
        incident_report(
            kind="journal_unread",
            summary=f"What dead workers left word of cannot be read, and may be sent again: {fault}",
            fingerprint="journal_unread:folder",
            error=fault,
        )
    return _tell(reap(now=now, but=unread))


def accepted_known(*, worker: str) -> bool:
    """Read what a dead worker left word of. False where that failed: its claims must wait for their leases then, for
    what was accepted would be sent again. Never raises."""
    try:
        with _within_seconds():
            return not recovery_of(worker).unread
    except Exception as fault:  # it is asked by who guards others
        log.warning("journals_not_read", worker=worker, error=str(fault))
        return False


def claims_take_back(*, worker: str, cause: str, now: datetime) -> None:
    """A worker is known to be dead: its messages need not wait for their leases. Never raises.

    Only for who has seen it die: one that is merely not heard of may still send.
    """
    try:
        with _within_seconds():
            _tell(reap_worker(worker=worker, cause=cause, now=now))
    except DatabaseFault as fault:
        log.warning("claims_not_taken_back", worker=worker, error=str(fault))


@contextmanager
def _within_seconds() -> Iterator[None]:
    """Whoever sees a death guards a deployment: no statement holds it up for long."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
        yield
    finally:
        connection.close()


def _tell(reaped: Reaped) -> int:
    if reaped.returned:
        log.warning("claims_taken_back", messages=len(reaped.returned))
    for key in reaped.quarantined:
        incident_report(
            kind="message_quarantined",
            summary=f"Message {key} is kept apart: its worker died each time it was tried alone.",
            severity="critical",
            fingerprint=f"message_quarantined:{key}",
            details={"message": key},
        )
    return len(reaped.returned) + len(reaped.quarantined)
