"""What a drill works with: people, servers on loopback, cycles, real workers, a clock, and promises to check.

A drill runs in a process of its own whose settings point at the throw-away database and these servers.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out
from django.utils import timezone

from accounts.models import Organisation
from alerting.cycle.context import REALTIME, CycleContext
from alerting.cycle.counts import Counts
from alerting.cycle.run import send_cycle
from alerting.gameday.processes import Worker, wait_until
from alerting.gameday.readers import FIRST_MMSI, Reader, crossings_make, organisation_make, readers_make
from alerting.gameday.slack_server import SlackServer
from alerting.gameday.smtp_server import SmtpServer
from alerting.gameday.tally import Tally, receipts_of, tally_take
from alerting.gameday.verdict import HEARD_WITHIN_SECONDS, Promise
from alerting.matching import matching_step
from alerting.models import Lease, Message, Notification, State
from alerting.workers.housekeeping import housekeeping_steps
from alerting.workers.names import heartbeat_name
from resilience import incidents
from resilience.models import CircuitBreaker, Heartbeat
from vessels.models import Area

NAMES = ("ana", "ben", "caro", "dan", "eva", "fay", "gus", "hana", "ivo", "joe")


class SeenToFail(Exception):
    """The promise that was meant to break has broken: what else the drill does would take time for nothing."""


class Stage:
    """One drill's world. `promise` notes what held; whatever a drill raises is a broken promise too."""

    def __init__(
        self,
        *,
        smtp: SmtpServer,
        slack: SlackServer,
        folder: Path,
        patience: float = math.inf,
        meant_to_break: str = "",
    ) -> None:
        """For drills that are meant to fail: no wait is longer than `patience`, in seconds, and they end with
        `SeenToFail` when a promise with the words `meant_to_break` is broken."""
        self.smtp = smtp
        self.slack = slack
        self.folder = folder
        self._patience = patience
        self._meant_to_break = meant_to_break
        self.promises: list[Promise] = []
        self.victims: set[int] = set()  # users whom the outage hits
        self.may_repeat = 0
        self.slack_seconds: float | None = None
        self.workers: list[Worker] = []
        self._owed = 0
        self._struck_at = self._listens_from = time.monotonic()
        self._offset = timedelta(0)
        self._next_mmsi = FIRST_MMSI
        self.organisation, self.area = self._organisation("moana")

    # people and alerts

    def _organisation(self, slug: str) -> tuple[Organisation, Area]:
        return organisation_make(slug=slug, now=self.now())

    def readers(self, count: int, *, slug: str = "moana") -> list[Reader]:
        """So many users of one organisation; every crossing of its area makes an alert for each."""
        organisation, area = (self.organisation, self.area) if slug == "moana" else self._organisation(slug)
        names = [NAMES[number] if number < len(NAMES) else f"reader{number}" for number in range(count)]
        return readers_make(organisation=organisation, area=area, names=names, now=self.now())

    def crossings(self, count: int, readers: list[Reader]) -> list[int]:
        """So many vessels enter the area of these readers; matching is left to whoever runs it. Returns MMSIs."""
        area = readers[0].rule.areas.get()
        mmsis = [self._next_mmsi + number for number in range(count)]
        self._next_mmsi += count
        with transaction.atomic():
            crossings_make(area=area, mmsis=mmsis, now=self.now())
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_notify('watchkeeper_events', '')")  # as the watch does
        self._owed += count * len(readers)
        return mmsis

    def alerts(self, count: int, readers: list[Reader]) -> list[int]:
        """Crossings, matched: their notifications and messages wait."""
        mmsis = self.crossings(count, readers)
        while matching_step(now=self.now()):
            continue
        return mmsis

    def owes(self, count: int) -> None:
        """So many notifications were made by other means."""
        self._owed += count

    # time

    def now(self) -> datetime:
        return timezone.now() + self._offset

    def later(self, **length: float) -> None:
        """Time passes for cycles and housekeeping that are run here, and for the waits of breakers; negative: back."""
        self._offset += timedelta(**length)
        CircuitBreaker.objects.time_passes(timedelta(**length))

    # what runs

    def cycle(self, cadence: str = REALTIME, **changes: Any) -> Counts:
        """One send cycle in this process."""
        options: dict[str, Any] = {"cadence": cadence, "clock": self.now}
        return send_cycle(CycleContext(**options | changes))

    def cycle_meanwhile(self, **changes: Any) -> threading.Thread:
        """One send cycle on a thread of its own, while the drill goes on."""
        thread = threading.Thread(target=self._cycle_apart, kwargs=changes, daemon=True)
        thread.start()
        return thread

    def _cycle_apart(self, **changes: Any) -> None:
        try:
            self.cycle(**changes)
        finally:
            connection.close()

    def settle(self) -> None:
        """Cycles with simulated waits between them, until all is sent that has to be."""
        for _ in range(20):
            self.cycle()
            if self.all_sent():
                return
            self.later(seconds=20)

    def cycles(self, count: int, *, apart: float) -> None:
        """So many cycles, so many simulated seconds apart."""
        for _ in range(count):
            self.cycle()
            self.later(seconds=apart)

    def housekeeping(self) -> None:
        for _, step in housekeeping_steps():
            step(now=self.now())

    def worker(
        self,
        deployment: str = REALTIME,
        *,
        supervised: bool = True,
        log: Path | None = None,
        enter: Callable[[], None] | None = None,
        ready: bool = True,
    ) -> Worker:
        """A real deployment; with `ready` it has given its first sign of life."""
        began = timezone.now()
        worker = Worker(
            deployment,
            project=settings.BASE_DIR,
            environment=os.environ,
            log=log or self.folder / f"{deployment}-{len(self.workers)}.log",
            supervised=supervised,
            enter=enter,
        )
        self.workers.append(worker)
        if ready:
            beats = Heartbeat.objects.filter(name=heartbeat_name(deployment), at__gte=began)
            self.promise(f"worker {deployment} comes up", self.wait(beats.exists, 60), "no sign of life")
        return worker

    def wait(self, true: Callable[[], object], seconds: float) -> bool:
        """Until it is so; workers that end are started again meanwhile, and a lost database is waited for."""

        def asked() -> object:
            try:
                return true()
            except DatabaseFault:
                connection.close()
                return False

        return wait_until(asked, min(seconds, self._patience), meanwhile=self._look_after)

    def _look_after(self) -> None:
        for worker in self.workers:
            worker.look_after()

    def close(self) -> None:
        """End every process and server."""
        for worker in self.workers:
            worker.ask_to_stop()
        for worker in self.workers:
            worker.stop()
        incidents.flush(5.0)
        self.smtp.stop()
        self.slack.close()

    # promises

    def strike(self) -> None:
        """The fault begins now: how soon Slack hears of it is counted from here."""
        self._struck_at = time.monotonic()

    def promise(self, text: str, kept: object, seen: object = "") -> None:
        """Note whether it holds; `seen` is what is shown where it does not."""
        self.promises.append(Promise(text, bool(kept), "" if kept else str(seen)))
        if not kept and self._meant_to_break and self._meant_to_break in text:
            raise SeenToFail

    def slack_hears(self, *kinds: str, anew: bool = False, meanwhile: Callable[[], object] = lambda: None) -> None:
        """One of these incidents was posted within a minute of the fault. `anew`: what was posted before the fault does
        not count, for a drill's second fault. `meanwhile` is run again and again until then."""
        since = self._struck_at if anew else self._listens_from

        def heard_of() -> bool:
            if self._heard(kinds, since) is None:
                meanwhile()
            return self._heard(kinds, since) is not None

        left = HEARD_WITHIN_SECONDS - (time.monotonic() - self._struck_at)
        self.wait(heard_of, max(5.0, left))
        heard = self._heard(kinds, since)
        seconds = None if heard is None else max(0.0, heard - self._struck_at)
        self.promise(
            f"Slack hears of {' or '.join(kinds)}{' anew' if anew else ''} within {HEARD_WITHIN_SECONDS:.0f} s",
            seconds is not None and seconds <= HEARD_WITHIN_SECONDS,
            "nothing" if seconds is None else f"after {seconds:.1f} s",
        )
        if seconds is not None:
            self.slack_seconds = max(seconds, self.slack_seconds or 0.0)

    def _heard(self, kinds: Collection[str], since: float) -> float | None:
        times = (self.slack.heard(f"*{kind}*", since=since) for kind in kinds)
        return min((at for at in times if at is not None), default=None)

    def slack_is_quiet(self) -> None:
        """Nothing happened that anybody must hear of."""
        incidents.flush(5.0)
        self.promise("Slack hears nothing", not self.slack.texts, self.slack.texts[:3])

    def all_end_as(self, state: str, readers: list[Reader], *, reason: str = "") -> None:
        """What is owed to these readers has come to this end, and says why."""
        rows = Notification.objects.filter(subscription__user__in=[one.user.pk for one in readers])
        ends = sorted(set(rows.values_list("state", "reason")))
        kept = bool(ends) and all(one == state and reason in why for one, why in ends)
        self.promise(f"alerts of {_named(readers)} end as {state}{f', “{reason}”' if reason else ''}", kept, ends[:3])

    def nothing_burnt(self) -> None:
        """What was not sent before waits with a next time, and lost no attempt."""
        rows = set(Message.objects.exclude(state=State.SENT).values_list("state", "attempts_made"))
        self.promise("all messages wait, and no attempt is burnt", rows == {(State.PENDING, 0)}, rows)
        held = Lease.objects.count()
        self.promise("all are given back", not held, f"{held} are held")

    def all_sent(self) -> bool:
        """Every alert that was made has been sent, those of victims aside."""
        waiting = Notification.objects.exclude(subscription__user__in=self.victims).exclude(state=State.SENT)
        return Notification.objects.count() == self._owed and not waiting.exists()

    def closing(self) -> Tally:
        """The promises that every drill makes, checked at its end."""
        tally = tally_take(receipts=receipts_of(self.smtp.mails), victims=self.victims)
        self.promise("no notification disappears", tally.made == self._owed, f"{tally.made} of {self._owed}")
        self.promise("none is lost", not tally.lost, f"{len(tally.lost)}: {'; '.join(tally.lost[:3])}")
        told = f"{tally.others_delivered} of {tally.others}"
        self.promise("all others are delivered", tally.others_delivered == tally.others, told)
        text = f"at most {self.may_repeat} are repeated" if self.may_repeat else "none is repeated"
        self.promise(text, tally.repeated <= self.may_repeat, tally.repeated)
        self.promise("every mail belongs to a message", not tally.strays, tally.strays[:3])
        return tally


def _named(readers: list[Reader]) -> str:
    return ", ".join(str(one.user) for one in readers[:3]) + (" and others" if len(readers) > 3 else "")
