"""Tasks in django-q2's table, as its admin pages put them there: each is run once, or told.

The cycles do not come this way. A row is taken away before its task runs: one that kills its worker cannot do it
again, and one that cannot be read does not come back.
"""

from __future__ import annotations

from typing import Any

import structlog
from django.db import close_old_connections, transaction
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from resilience.incidents import incident_report

log = structlog.get_logger(__name__)


def queued_take(name: str) -> dict[str, Any] | None:
    """The oldest task that waits for this deployment, if there is one. Never raises."""
    try:
        close_old_connections()
        payload = _take(name)
    except DatabaseFault as fault:
        log.debug("queue_not_read", error=str(fault))
        return None
    return None if payload is None else _read(name, payload)


def _take(name: str) -> str | None:
    waiting = OrmQ.objects.filter(key=name, lock__lte=timezone.now()).order_by("lock")
    if not waiting.exists():
        return None
    with transaction.atomic():
        row = waiting.select_for_update(skip_locked=True).first()
        if row is None:
            return None
        payload: str = row.payload
        row.delete()
    return payload


def _read(name: str, payload: str) -> dict[str, Any] | None:
    try:
        task: dict[str, Any] = SignedPackage.loads(payload)
    except Exception as error:  # unpickling runs what was pickled: anything can come of it
        incident_report(
            kind="queued_task_unreadable",
            summary=f"A task in the queue of “{name}” cannot be read and was dropped.",
            fingerprint=f"queued_task_unreadable:{name}",
            error=error,
        )
        return None
    return task | {"cluster": name}
