"""Signs of life: long-running parts beat, and silence becomes an incident."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from resilience.incidents import incident_clear, incident_report
from resilience.models import Heartbeat, Incident

_NOTHING: Mapping[str, Any] = MappingProxyType({})
CHECKER = "heartbeat check"
_NAME_LENGTH = 100
_AT = " at "
_MISSING = "heartbeat_missing|"


def beat(name: str, detail: Mapping[str, Any] = _NOTHING, *, now: datetime, instance: str = "") -> None:
    """Says that the part lives, and which of its kind. Raises what the database raises: a part that cannot say it
    is not well."""
    names = [name, instance_name(name, instance)] if instance else [name]
    pid, host = os.getpid(), socket.gethostname()[:255]
    beats = [Heartbeat(name=each, at=now, pid=pid, host=host, detail=dict(detail)) for each in names]
    Heartbeat.objects.bulk_create(
        beats, update_conflicts=True, unique_fields=["name"], update_fields=["at", "pid", "host", "detail"]
    )


def instance_name(name: str, instance: str) -> str:
    """One of several parts that do the same, such as “worker realtime at mercury”."""
    return f"{name}{_AT}{instance}"[:_NAME_LENGTH]


def heartbeats_excuse(*, but: Collection[str], now: datetime) -> None:
    """Ends the incidents of single instances that need not beat any more: they stopped, or their end was told."""
    silent = Incident.objects.open().filter(fingerprint__startswith=_MISSING, fingerprint__contains=_AT)
    for fingerprint in silent.exclude(fingerprint__in=[_MISSING + name for name in but]).values_list(
        "fingerprint", flat=True
    ):
        incident_clear(fingerprint=fingerprint, by=CHECKER, now=now)


def heartbeats_forget(*, before: datetime) -> int:
    """Takes away the beats of single instances that are gone for long. Returns how many."""
    return Heartbeat.objects.filter(name__contains=_AT, at__lt=before).delete()[0]


def age(name: str, now: datetime) -> timedelta | None:
    """Time since the last beat; None if there never was one."""
    at = Heartbeat.objects.filter(name=name).values_list("at", flat=True).first()
    return None if at is None else now - at


def silent(expected: Mapping[str, timedelta], *, now: datetime, since: datetime) -> dict[str, timedelta]:
    """Those of the expected that are older than their limit, with their age. Never heard: silent `since` then."""
    beats = dict(Heartbeat.objects.filter(name__in=expected).values_list("name", "at"))
    ages = {name: now - beats.get(name, since) for name in expected}
    return {name: age for name, age in ages.items() if age > expected[name]}


def heartbeats_check(expected: Mapping[str, timedelta], *, now: datetime, since: datetime) -> list[str]:
    """Raises an incident for each silent part, ends that of a part that is heard again; returns the silent ones.

    `since`: when the checking process began. Within a part's limit from then nothing is said of it, so that after
    a stop of everything each part gets its time to start.
    """
    begun = {name: limit for name, limit in expected.items() if now - since > limit}
    quiet = silent(begun, now=now, since=since)
    for name in begun:
        fingerprint = _MISSING + name
        if name not in quiet:
            incident_clear(fingerprint=fingerprint, by=CHECKER, now=now)
            continue
        seconds = int(quiet[name].total_seconds())
        incident_report(
            kind="heartbeat_missing",
            summary=f"{name} gave no sign of life for {seconds} s (limit {int(expected[name].total_seconds())} s)",
            severity="critical",
            fingerprint=fingerprint,
            details={"name": name, "age_seconds": seconds},
        )
    return sorted(quiet)
