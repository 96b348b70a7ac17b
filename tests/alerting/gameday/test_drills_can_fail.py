"""A drill that cannot fail proves nothing: here the product is broken on purpose, from outside, in all processes.

Python imports `sitecustomize` from the first folder of PYTHONPATH when it starts; ours breaks one function of the
product as soon as Django is set up.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from alerting.gameday.drills import DRILLS
from alerting.gameday.inside import MEANT_TO_BREAK, PATIENCE
from alerting.gameday.runner import GameDay

_AFTER_SETUP = """
import django
_setup = django.setup
def setup(*arguments, **named):
    _setup(*arguments, **named)
    sabotage()
django.setup = setup
def sabotage():
{body}
"""

# drill, what is broken, the promise that must break
SABOTAGES = {
    "a look-up that fails is swallowed": (
        "profile-query-fails",
        """
        import alerting.cycle.load as load
        real = load.user_rows
        def users(keys):
            try:
                return real(keys)
            except Exception:
                return {}
        load.user_rows = users
        """,
        "all messages wait, and no attempt is burnt",
    ),
    "the deleted user is not told of": (
        "deleted-user",
        """
        import alerting.cycle.prepare as prepare
        prepare.incident_report = lambda **report: None
        """,
        "Slack hears of deleted_user_with_subscriptions",
    ),
    "a template's error is the message's": (
        "template-error-in-one-rule",
        """
        import alerting.cycle.render as render
        class Other(Exception): pass
        render.TemplateFault = Other
        """,
        "end as sent",
    ),
    "a message is sent twice": (
        "smtp-refuses-some",
        """
        from alerting.transports.email.connection import EmailTransport
        real = EmailTransport.send
        def send(self, outgoing, **named):
            real(self, outgoing, deadline=named['deadline'])
            return real(self, outgoing, **named)
        EmailTransport.send, EmailTransport.line = send, lambda self: None
        """,
        "none is repeated",
    ),
    "a message is marked sent that never left": (
        "nil-vessel",
        """
        from alerting.transports.email.connection import EmailTransport
        EmailTransport.send = lambda self, outgoing, *, deadline, handover=None: '250 so they say'
        EmailTransport.line = lambda self: None
        """,
        "none is lost",
    ),
    "old rows are deleted": (
        "older-than-48-hours",
        """
        import alerting.workers.housekeeping as housekeeping
        from alerting.models import Message, Notification
        def stale_step(*, now):
            old = Message.objects.filter(state='pending', expires_at__lte=now)
            Notification.objects.filter(message__in=old).delete()
        housekeeping.stale_step = stale_step
        """,
        "no notification disappears",
    ),
    "a claim is not fair": (
        "flood",
        """
        import uuid
        import alerting.cycle.rounds as rounds
        from django.utils import timezone
        from alerting.models import Lease, Message
        def claim(*, rooms, now, lease, monotonic, suspects=False, **named):
            token = uuid.uuid4()
            due = Message.objects.filter(state="pending", lease=None, next_attempt_at__lte=now, deaths=0)
            found = [] if suspects else list(due.order_by("pk").values_list("pk", flat=True)[:max(rooms.values())])
            until = timezone.now() + lease
            Lease.objects.bulk_create(
                Lease(message_id=one, token=token, until=until, worker="first come") for one in found
            )
            return rounds.Claim(token, monotonic() + lease.total_seconds(), tuple(found))
        rounds.claim = claim
        """,
        "the single notification is sent",
    ),
    "one user that cannot be looked up fails all": (
        "deleted-user",
        """
        import alerting.cycle.load as load
        real = load.user_rows
        def users(keys):
            found = real(keys)
            return {key: found[key] for key in keys}
        load.user_rows = users
        """,
        "end as sent",
    ),
    "one user that cannot be looked up ends the cycle for the others": (
        "deleted-user",
        """
        import alerting.cycle.load as load
        real, gone = load.user_rows, set()
        def users(keys):
            found = real(keys)
            if missing := set(keys) - found.keys() - gone:
                gone.update(missing)  # the next cycle knows
                raise KeyError(missing)
            return found
        load.user_rows = users
        """,
        "end as sent",
    ),
    "a mail that may have arrived is not tried again": (
        "smtp-drops-after-data",
        """
        import alerting.cycle.outcomes as outcomes
        from alerting.models import State
        real = outcomes.after_fault
        def after_fault(fault, **named):
            return outcomes.Next(State.FAILED) if fault.unknown else real(fault, **named)
        outcomes.after_fault = after_fault
        """,
        "the repeat has the same Message-ID",
    ),
    "a repeat gets another Message-ID": (
        "smtp-drops-after-data",
        """
        import uuid
        from alerting.transports.email.connection import EmailTransport
        real = EmailTransport.send
        def send(self, outgoing, **named):
            outgoing = outgoing._replace(message_id=f"<{uuid.uuid4()}@gameday.example>")
            return real(self, outgoing, **named)
        EmailTransport.send, EmailTransport.line = send, lambda self: None
        """,
        "the repeat has the same Message-ID",
    ),
    "nothing is claimed while anything is in hand": (
        "smtp-hangs",
        """
        import time
        from alerting.cycle.senders import Senders
        def wait(self, *arguments, **named):
            while self.unfinished():
                time.sleep(0.05)
        Senders.wait = wait
        """,
        "who come meanwhile",
    ),
    "a look-up knows no deadline": (
        "dns-failure",
        """
        import alerting.transports.email.session as session
        def answers_within(resolve, host, port, *, seconds):
            return resolve(host, port)
        session.answers_within = answers_within
        """,
        "the cycle ends with the deadline",
    ),
    "leases run by the clock of the machine": (
        "clock-jumps",
        """
        import alerting.cycle.queue as queue
        import alerting.cycle.rounds as rounds
        from alerting.models import Lease
        real = rounds.claim
        def claim(*, now, lease, **named):
            claimed = real(now=now, lease=lease, **named)
            Lease.objects.filter(token=claimed.token).update(until=now + lease)
            return claimed
        def reap(*, now, limit=500):
            ended = Lease.objects.filter(until__lt=now)
            return queue._take_back(ended, now=now, cause="its lease ran out", limit=limit)
        rounds.claim, queue.reap = claim, reap
        """,
        "none is repeated",
    ),
    "both senders claim the same": (
        "two-senders",
        """
        import uuid
        import alerting.cycle.rounds as rounds
        from django.utils import timezone
        from alerting.models import Lease, Message
        def claim(*, rooms, now, lease, worker, monotonic, suspects=False, **named):
            token, most, until = uuid.uuid4(), max(rooms.values()), timezone.now() + lease
            due = Message.objects.filter(state="pending", lease=None, next_attempt_at__lte=now, deaths=0)
            if not suspects:
                others = Lease.objects.exclude(worker__in=[worker, "both"]).order_by("pk")[:most]
                Lease.objects.filter(pk__in=list(others.values_list("pk", flat=True))).update(
                    token=token, until=until, worker="both"
                )
                Lease.objects.bulk_create(
                    (
                        Lease(message=one, token=token, until=until, worker=worker)
                        for one in due.order_by("pk")[:most]
                    ),
                    ignore_conflicts=True,
                )
            found = Lease.objects.filter(token=token).values_list("pk", flat=True)
            return rounds.Claim(token, monotonic() + lease.total_seconds(), tuple(found))
        rounds.claim = claim
        """,
        "none is repeated",
    ),
    "one of two senders waits until the other is gone": (
        "two-senders",
        """
        import alerting.workers.tasks as tasks
        from django.db import connections
        real = tasks.send_cycle
        def send_cycle(context):
            with connections["default"].cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(1)")
                if cursor.fetchone()[0]:  # kept as long as its process lives
                    return real(context)
        tasks.send_cycle = send_cycle
        """,
        "both deployments send",
    ),
    "a lost database burns attempts": (
        "database-restarted",
        """
        from datetime import timedelta
        import alerting.cycle.rounds as rounds
        from django.db.models import F
        from django.utils import timezone
        from alerting.models import Lease, Message
        def release(token, messages):
            held = Lease.objects.filter(pk__in=messages, token=token)
            Message.objects.filter(lease__in=held).update(
                attempts_made=F("attempts_made") + 1, next_attempt_at=timezone.now() + timedelta(seconds=30),
            )
            return held.delete()[0]
        rounds.release = release
        """,
        "no attempt is burnt",
    ),
    "Slack is not told that the database was lost": (
        "database-restarted",
        """
        import alerting.cycle.run as run
        run.log = run.log.bind()
        run.log.exception = run.log.info
        """,
        "Slack hears of send_cycle_lost_the_database",
    ),
    "the death of a whole deployment is not told": (
        "worker-killed",
        """
        from resilience.ledger.keeper import RunKeeper
        RunKeeper._report = lambda self, gone: None
        """,
        "Slack hears of worker_unclean_shutdown",
    ),
    "a rule's broken template breaks them all": (
        "template-error-in-one-rule",
        """
        import dataclasses
        import alerting.cycle.render as render
        real = render.alert_of
        render.alert_of = lambda *args, **named: dataclasses.replace(real(*args, **named), template=None)
        """,
        "others' templates are used as they are",
    ),
    "an error of our own is swallowed": (
        "template-error-in-all",
        """
        import alerting.cycle.prepare as prepare
        prepare.Preparation._ours = lambda self, checked, error, claimed: None
        """,
        "all are put off as a fault of ours",
    ),
    "a paused kind is never probed": (
        "smtp-down-then-back",
        """
        import alerting.cycle.rounds as rounds
        rounds.probes_take = lambda: []
        """,
        "all leaves by itself",
    ),
    "a mail that may have arrived is taken for sent": (
        "smtp-hangs-after-data",
        """
        import alerting.cycle.outcomes as outcomes
        from alerting.models import State
        real = outcomes.after_fault
        def after_fault(fault, **named):
            return outcomes.Next(State.SENT) if fault.unknown else real(fault, **named)
        outcomes.after_fault = after_fault
        """,
        "all are tried again under the same Message-ID",
    ),
    "an incident that could not be posted is dropped": (
        "slack-down",
        """
        import resilience.poster as poster
        from resilience.models import Incident
        def mark_failed(incidents, fault, now):
            Incident.objects.filter(pk__in=[one.pk for one in incidents]).update(has_news=False)
            return poster.BETWEEN_POSTS
        poster._mark_failed = mark_failed
        """,
        "the incident is kept until it is told",
    ),
    "the kernel's kills are not counted": (
        "worker-out-of-memory",
        """
        import resilience.ledger.memory as memory
        memory.oom_kills = lambda: None
        """,
        "Slack hears the cause",
    ),
    "a stop cuts off what is on the wire": (
        "sigterm-mid-send",
        """
        import socket, threading
        from alerting.transports.email.connection import EmailTransport
        from alerting.workers.stop_flag import stopping
        real = EmailTransport.send
        def send(self, outgoing, **named):
            over = threading.Event()
            def cut():
                while not over.wait(0.02):
                    if stopping():
                        return self._session.on_the_wire.shutdown(socket.SHUT_RDWR)
            threading.Thread(target=cut, daemon=True).start()
            try:
                return real(self, outgoing, **named)
            finally:
                over.set()
        EmailTransport.send, EmailTransport.line = send, lambda self: None
        """,
        "what is on the wire is finished",
    ),
    "deaths are not counted": (
        "poison-message",
        """
        import alerting.cycle.queue as queue
        def take_back(leases, **named):
            ended = list(leases.values_list("pk", flat=True))
            queue.Lease.objects.filter(pk__in=ended).delete()
            return queue.Reaped(tuple(ended), ())
        queue._take_back = take_back
        """,
        "its first death is counted",
    ),
    "a line that cannot be written raises out of the cycle": (
        "disk-full-for-logs",
        """
        import errno
        import alerting.cycle.run as run
        def info(event, **named):
            raise OSError(errno.ENOSPC, "No space left on device")
        run.log = run.log.bind()
        run.log.info = info
        """,
        "nothing else is amiss",
    ),
    "words of any size are read for a whole claim at once": (
        "worker-memory-limit",
        """
        import alerting.cycle.prepare as prepare
        import alerting.cycle.rows as rows
        rows._USUAL = rows._USUAL.replace(rows._FIT, "true")
        prepare.lacks_memory = lambda error: False
        """,
        "all others are sent",
    ),
    "a message that does not fit into memory is not told of": (
        "worker-memory-limit",
        """
        import alerting.cycle.telling as telling
        telling.incident_report = lambda **report: None
        """,
        "Slack hears of panic_in_send_cycle",
    ),
}
# What breaks before for the same reason.
EARLIER = {
    "a message is marked sent that never left": ("its alerts name it by MMSI",),
    "old rows are deleted": ("end as stale", "hears of messages_stale", "one summary", "the drill runs to its end"),
    "one user that cannot be looked up fails all": ("end as cancelled",),
    "one user that cannot be looked up ends the cycle for the others": ("end as cancelled",),
    "leases run by the clock of the machine": ("no living machine is taken for dead",),
    "a lost database burns attempts": ("all is sent",),
    "the death of a whole deployment is not told": ("all is sent after the second kill",),
}
QUICK = ("a message is sent twice", "a message is marked sent that never left")
PATIENCE_SECONDS = 4
# Workers of their own need time to start; what must break is seen long after.
PROCESS_SECONDS = 25


def _parameter(name: str) -> object:
    return pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])


def test_every_drill_is_seen_to_fail() -> None:
    assert {drill for drill, _, _ in SABOTAGES.values()} == set(DRILLS)


@pytest.mark.parametrize("name", [_parameter(name) for name in SABOTAGES])
def test_a_drill_fails_when(day: GameDay, tmp_path: Path, name: str) -> None:
    drill, body, promise = SABOTAGES[name]
    indented = indent(dedent(body), "    ")
    (tmp_path / "sitecustomize.py").write_text(_AFTER_SETUP.format(body=indented))

    patience = PROCESS_SECONDS if DRILLS[drill].processes else PATIENCE_SECONDS
    environment = {"PYTHONPATH": str(tmp_path), PATIENCE: str(patience), MEANT_TO_BREAK: promise}
    verdict = day.play(DRILLS[drill], environment=environment)

    if verdict.skipped:
        pytest.skip(verdict.skipped)
    told = [one.line() for one in verdict.promises]
    assert any(promise in one.text for one in verdict.broken), told
    for one in verdict.broken:
        assert any(words in one.text for words in (promise, *EARLIER.get(name, ()))), told
