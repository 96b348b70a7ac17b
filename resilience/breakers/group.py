"""The operations on a family of breakers, for a caller that decides by itself what to try: a send cycle, a poller.

    TRANSPORTS = Breakers("transport:", announce=tell_operations)

    shut = TRANSPORTS.names_open()                                        # one query
    for probe in TRANSPORTS.probes_take(): …                              # of all processes, one gets it
    TRANSPORTS.trip("email", reason="421 busy", retry_after=wait, probe=probe, now=now)
    TRANSPORTS.probe_succeeded(probe, now=now)                            # or probe_give_back

A fault of the database fails open: nothing counts as shut, no probe is taken, and `breaker_faults_total` grows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from resilience.breakers import rows
from resilience.breakers.metrics import BREAKER_METRICS, BreakerMetrics
from resilience.breakers.models import BreakerState
from resilience.breakers.rows import Probe, Row
from resilience.redaction import redact_text

__all__ = ["Breakers", "Probe", "Transition"]

log = structlog.get_logger(__name__)
T = TypeVar("T")

LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Transition:
    """A breaker that this process opened or closed. `name` as the caller knows it, without the family's prefix."""

    name: str
    state: BreakerState
    reason: str
    at: datetime


def nobody(_: Transition) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Breakers:
    """The breakers whose rows' names begin with `prefix`. Callers use names without it.

    `announce` hears of each opening (not of each failed probe) and each closing, once among all processes: the place
    to raise and to clear an incident. What it raises is logged and counted.
    `lease` is how long a probe may take, by the database's clock; a process that dies with one holds the others up no
    longer than that.
    """

    prefix: str
    announce: Callable[[Transition], object] = nobody
    lease: timedelta = LEASE
    metrics: BreakerMetrics = BREAKER_METRICS

    def names_open(self) -> frozenset[str]:
        """Those that are open or half-open. One query; empty if the database cannot say."""
        known = self.rows()
        return frozenset(row.name for row in known if row.state != BreakerState.CLOSED)

    def rows(self) -> list[Row]:
        """All that ever tripped or failed, by name. Empty if the database cannot say."""
        nothing: list[Row] = []
        found = self._try("read", self.prefix, lambda: rows.read(prefix=self.prefix), nothing)
        for row in found:
            self.metrics.state(row.name, row.state)
        return [replace(row, name=self._short(row.name)) for row in found]

    def trip(self, name: str, *, reason: str, retry_after: timedelta, probe: Probe | None, now: datetime) -> bool:
        """Open it; one process may try again when the wait is over by the database's clock. True if it was closed.

        `probe`: the one that this call was, if it was one: then nothing changes if its lease went to another, whose
        word is newer, even if that other has closed the breaker. While another process probes, its word is awaited.
        `reason` may be any text: other sides answer with bytes that PostgreSQL refuses, and with our secrets.
        """
        reason = redact_text(reason)
        if probe is not None:
            self._probe_failed(self._full(probe), reason=reason, wait=retry_after)
            return False
        full = self.prefix + name
        begun = self._try(
            "trip", full, lambda: rows.open_if_closed(name=full, reason=reason, wait=retry_after, now=now), None
        )
        if begun:
            self._changed(Transition(name, BreakerState.OPEN, reason, now))
            return True
        if begun is not None:
            self._try("trip", full, lambda: rows.open_again(name=full, reason=reason, wait=retry_after), False)
        return False

    def _probe_failed(self, probe: Probe, *, reason: str, wait: timedelta) -> None:
        again = self._try("trip", probe.name, lambda: rows.probe_failed(probe, reason=reason, wait=wait), False)
        if again:
            self.metrics.changed(probe.name, BreakerState.OPEN)

    def probes_take(self, *, names: Collection[str] | None = None) -> list[Probe]:
        """The right to try one call each on those that are due (of `names`): each goes to one of all processes."""
        nothing: list[Probe] = []
        full = None if names is None else [self.prefix + name for name in names]
        taken = self._try(
            "probe",
            self.prefix if full is None or len(full) != 1 else full[0],
            lambda: rows.probes_take(lease=self.lease, prefix=self.prefix, names=full),
            nothing,
        )
        for probe in taken:
            self.metrics.changed(probe.name, BreakerState.HALF_OPEN)
        return [Probe(self._short(probe.name), probe.token, probe.lease_until) for probe in taken]

    def probe_give_back(self, probe: Probe) -> bool:
        """Unused: another process may try at once. False if the lease had ended and another has it."""
        full = self._full(probe)
        given = self._try("give_back", full.name, lambda: rows.probe_give_back(full), False)
        if given:
            self.metrics.changed(full.name, BreakerState.OPEN)
        return given

    def probe_succeeded(self, probe: Probe, *, now: datetime) -> bool:
        """Close it. False, and nothing changes, if the lease had ended and another has it."""
        full = self._full(probe)
        closed = self._try("close", full.name, lambda: rows.close(full, now=now), False)
        if closed:
            self._changed(Transition(probe.name, BreakerState.CLOSED, "", now))
        return closed

    def _changed(self, transition: Transition) -> None:
        full = self.prefix + transition.name
        self.metrics.changed(full, transition.state)
        log.info("breaker_changed", breaker=full, state=transition.state.value, reason=transition.reason)
        try:
            self.announce(transition)
        except Exception as fault:  # whoever announces must not decide what becomes of the call
            self.metrics.fault(full, "announce")
            log.exception("breaker_announcement_failed", breaker=full, error=str(fault))

    def _try(self, operation: str, name: str, work: Callable[[], T], without: T) -> T:
        """Fail open."""
        try:
            return work()
        except rows.FAULTS as fault:
            self.metrics.fault(name, operation)
            log.warning("breaker_fails_open", breaker=name, operation=operation, error=str(fault))
            rows.connection_mend()
            return without

    def _full(self, probe: Probe) -> Probe:
        return Probe(self.prefix + probe.name, probe.token, probe.lease_until)

    def _short(self, name: str) -> str:
        return name.removeprefix(self.prefix)
