"""Claims of dead workers: back into the queue, or into quarantine with an incident."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import connection
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from alerting.cycle.queue import Reaped, reap, reap_worker
from alerting.workers.journals import recovery_step
from resilience.incidents import incident_report
from resilience.ledger.book import STATEMENT_TIMEOUT

log = structlog.get_logger(__name__)


def reap_step(*, now: datetime) -> int:
    """Leases that ran out: back in the queue, or quarantined with an incident."""
    return _tell(reap(now=now))


def claims_take_back(*, worker: str, cause: str, now: datetime) -> None:
    """A worker is known to be dead: its messages need not wait for their leases. Those that it left word of are sent.
    Never raises.

    Only for who has seen it die: one that is merely not heard of may still send.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")  # whoever calls guards a deployment
        recovery_step(now=now)
        _tell(reap_worker(worker=worker, cause=cause, now=now))
    except (DatabaseFault, OSError) as fault:
        log.warning("claims_not_taken_back", worker=worker, error=str(fault))
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
