"""Which messages a worker had claimed when it died, for the incident."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from resilience.ledger.book import FAULTS
from resilience.own_connection import own_connection

log = structlog.get_logger(__name__)

_MOST = 1000


def messages_in_hand(workers: Sequence[str]) -> list[int]:
    """Claims are made under the worker's name, `Run.process_name`. Empty where the database does not answer."""
    try:
        with own_connection() as connection:
            connection.execute("SET statement_timeout = '2s'")
            rows = connection.execute(
                """
                SELECT message_id FROM alerting_lease WHERE worker = ANY(%s) ORDER BY message_id LIMIT %s
                """,
                [list(workers), _MOST],
            ).fetchall()
    except FAULTS as fault:
        log.warning("messages_in_hand_unknown", error=str(fault))
        return []
    return [key for (key,) in rows]
