"""Kinds of channel that wait because their way out is shut: shared by all processes through one row for each kind.

While a kind is paused its messages are not claimed and burn no attempts. When `probe_at` comes, exactly one process
wins the conditional update and tries one message; a probe whose process dies is over when the next one is due.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from alerting.models import ErrorKind, TransportPause
from alerting.transports import TransportError
from resilience.incidents import incident_clear, incident_report

log = structlog.get_logger(__name__)

# How long until the next probe: somebody has to mend settings; a server that is down comes back by itself.
PROBE_AFTER = {ErrorKind.CONFIGURATION: timedelta(seconds=60), ErrorKind.TRANSIENT: timedelta(seconds=15)}


def paused_kinds() -> frozenset[str]:
    return frozenset(TransportPause.objects.values_list("kind", flat=True))


def probes_take(*, now: datetime) -> frozenset[str]:
    """The kinds that this process may try now, one message each."""
    due = TransportPause.objects.filter(probe_at__lte=now).values_list("kind", flat=True)
    won = (
        kind
        for kind in list(due)
        if TransportPause.objects.filter(kind=kind, probe_at__lte=now).update(
            probe_at=now + PROBE_AFTER[ErrorKind.CONFIGURATION]
        )
    )
    return frozenset(won)


def probe_give_back(*, kind: str, now: datetime) -> None:
    """The probe found nothing to try here: the next process may, which may have something."""
    TransportPause.objects.filter(kind=kind).update(probe_at=now)


def pause_begin(*, kind: str, fault: TransportError, now: datetime) -> None:
    """Pause the kind, or set the next probe if it is paused already. One incident for each pause."""
    probe_at = now + PROBE_AFTER.get(fault.kind, PROBE_AFTER[ErrorKind.TRANSIENT])
    reason = f"{fault} {fault.answer}".strip()
    _, begun = TransportPause.objects.update_or_create(
        kind=kind,
        defaults={"probe_at": probe_at, "reason": reason},
        create_defaults={"probe_at": probe_at, "reason": reason, "paused_at": now},
    )
    log.warning("transport_paused", kind=kind, reason=reason, probe_at=probe_at.isoformat(), begun=begun)
    if begun:
        incident_report(
            kind="transport_paused",
            summary=f"Nothing leaves by {kind}: {reason} Messages wait; it is tried again by itself.",
            fingerprint=f"transport_paused:{kind}",
            details={"channel_kind": kind, "error_kind": str(fault.kind)},
        )


def pause_end(*, kind: str, now: datetime) -> None:
    """The way out is open again."""
    ended, _ = TransportPause.objects.filter(kind=kind).delete()
    if ended:
        incident_clear(fingerprint=f"transport_paused:{kind}", by="send cycle", now=now)
        log.info("transport_resumed", kind=kind)
