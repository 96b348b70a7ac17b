"""Kinds of channel whose way out is shut: a family of breakers that all processes share.

While a kind is shut its messages are not claimed and burn no attempts. When its time comes, one process of all tries
one message.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from alerting.models import ErrorKind
from alerting.transports import TransportError
from resilience.breakers.group import Breakers, Probe, Transition
from resilience.breakers.models import BreakerState
from resilience.incidents import incident_clear, incident_report

# How long until the next probe: somebody has to mend settings; a server that is down comes back by itself.
PROBE_AFTER = {ErrorKind.CONFIGURATION: timedelta(seconds=60), ErrorKind.TRANSIENT: timedelta(seconds=15)}

LONGEST_ASKED_SECONDS = 600.0


def _announce(change: Transition) -> None:
    """One incident for each time that a way is shut."""
    fingerprint = f"transport_paused:{change.name}"
    if change.state == BreakerState.CLOSED:
        incident_clear(fingerprint=fingerprint, by="send cycle", now=change.at)
        return
    incident_report(
        kind="transport_paused",
        summary=f"Nothing leaves by {change.name}: {change.reason} Messages wait; it is tried again by itself.",
        fingerprint=fingerprint,
        details={"channel_kind": change.name},
    )


_WAYS = Breakers("transport:", announce=_announce)


def kinds_shut() -> frozenset[str]:
    return _WAYS.names_open()


def probes_take() -> list[Probe]:
    """The kinds that this process may try now, one message each."""
    return _WAYS.probes_take()


def probe_give_back(probe: Probe) -> None:
    """Nothing was found to try here: the next process may have something."""
    _WAYS.probe_give_back(probe)


def way_shut(kind: str, *, fault: TransportError, probe: Probe | None, now: datetime) -> None:
    """No message of this kind can leave, as the fault says."""
    _WAYS.trip(
        kind,
        reason=f"{fault} {fault.answer}".strip(),
        retry_after=probe_after(fault),
        probe=probe,
        now=now,
    )


def probe_after(fault: TransportError) -> timedelta:
    """As long as the other side asks for, within reason; at least as long as its kind of fault takes."""
    asked = timedelta(seconds=min(fault.retry_after or 0.0, LONGEST_ASKED_SECONDS))
    return max(asked, PROBE_AFTER.get(fault.kind, PROBE_AFTER[ErrorKind.TRANSIENT]))


def way_open(probe: Probe, *, now: datetime) -> None:
    """The message of this probe was answered for."""
    _WAYS.probe_succeeded(probe, now=now)
