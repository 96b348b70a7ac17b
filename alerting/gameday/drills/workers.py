"""Drills on the workers: killed, out of memory, stopped, two at once, poisoned, without a disk for their logs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from accounts.models import User
from alerting.cycle.queue import DEATHS_TO_QUARANTINE
from alerting.gameday.drill import drill
from alerting.gameday.memory import LimitedMemory, limited_memory
from alerting.gameday.processes import client_of
from alerting.gameday.stage import Stage
from alerting.models import Attempt, Lease, Message, Notification, State
from resilience.ledger.models import WorkerDeath
from resilience.models import Incident

DIED = ("worker_died", "worker_unclean_shutdown", "worker_deployment_failed")
_QUICK = {"LEASE_SECONDS": "6", "RETRY_LADDER_SECONDS": "1,1,1,2,2"}


class Killer:
    """Kills the process on the other side of a connection while it waits for the answer to a mail."""

    def __init__(self, stage: Stage, wanted: Callable[[str], bool]) -> None:
        """`wanted`: asked with the recipient of each mail."""
        self.killed: list[int] = []
        self._stage = stage
        self._wanted = wanted
        self._lock = threading.Lock()

    def __call__(self, address: str) -> None:
        with self._lock:
            if self._wanted(address):
                smtp = self._stage.smtp
                pid = client_of(smtp.ports[address], server_port=smtp.port)
                if pid is not None and pid not in self.killed:
                    self.killed.append(pid)
                    os.kill(pid, signal.SIGKILL)


@drill(
    "worker-killed",
    broke="kill -9 on a sending process, then on a whole deployment",
    processes=True,
    environment=_QUICK,
)
def killed(stage: Stage) -> None:
    """A kill loses nothing and repeats at most one message for each open connection; Slack hears of either; another
    worker goes on."""
    readers = stage.readers(4)
    stage.smtp.delay = 0.1
    stage.smtp.before_answer = killer = Killer(stage, lambda address: len(stage.smtp.mails) >= 15 and not killer.killed)
    stage.may_repeat = 2 * settings.MAIL_CONNECTIONS
    stage.worker("housekeeping", ready=False)
    worker = stage.worker()

    stage.strike()
    stage.crossings(15, readers)
    stage.promise("a process that sends is killed", stage.wait(lambda: killer.killed, 30), "none was found")
    stage.slack_hears("worker_died")
    all_there = stage.wait(stage.all_sent, 60)
    stage.promise("all is sent after the first kill", all_there, _states())
    stage.promise("its supervisor starts it again", len(worker.ends) == 1, worker.ends)

    already = len(stage.smtp.mails)
    stage.crossings(50, readers)
    stage.promise("it sends again", stage.wait(lambda: len(stage.smtp.mails) > already + 5, 30), _states())
    in_hand = Lease.objects.count()
    stage.strike()
    worker.signal(signal.SIGKILL, whole_group=True)
    stage.promise("the deployment is killed with messages in hand", in_hand, _states())
    stage.promise("all is sent after the second kill", stage.wait(stage.all_sent, 60), _states())
    ends = stage.wait(lambda: len(worker.ends) == 2, 10)
    stage.promise("its supervisor starts it once more", ends and worker.ends[1] == -signal.SIGKILL, worker.ends)
    stage.slack_hears("worker_unclean_shutdown", anew=True)


@drill(
    "worker-out-of-memory", broke="a message takes more memory than a worker has", processes=True, environment=_QUICK
)
def out_of_memory(stage: Stage) -> None:
    """The kernel kills the worker; Slack hears of it and of the cause; all others are sent, and the message that does
    it stays on record with its deaths and a next time."""
    readers = stage.readers(3)
    heavy = readers[0]
    stage.may_repeat = len(readers) - 1  # what was in hand beside it; after one death it is alone
    stage.victims = {heavy.user.pk}
    stage.alerts(1, readers)
    _grow_heavy(heavy.user)

    with limited_memory(420 * 2**20) as memory:
        stage.strike()
        stage.worker("housekeeping", ready=False)
        worker = stage.worker(enter=memory.enter, ready=False)
        try:
            _killed_for_memory(stage, memory, heavy.user)
        finally:
            worker.stop()  # else its group cannot be removed


def _killed_for_memory(stage: Stage, memory: LimitedMemory, heavy: User) -> None:
    stage.slack_hears(*DIED)
    stage.promise("the kernel killed it for its memory", memory.kills() > 0, memory.kills())
    told = stage.wait(lambda: any("its memory was used up" in text for text in stage.slack.texts), 10)
    stage.promise("Slack hears the cause", told, stage.slack.texts[:2])
    stage.promise("all others are sent", stage.wait(stage.all_sent, 60), _states())
    deaths = Message.objects.get(user=heavy).death_records.count()
    stage.promise("its deaths are on record", deaths > 0, deaths)


@drill(
    "worker-memory-limit",
    broke="a message takes more memory than WORKER_MEMORY_MB leaves",
    processes=True,
    environment=_QUICK
    | {"WORKER_MEMORY_MB": "400", "MALLOC_ARENA_MAX": "2"},  # the latter as the page on deployment says
)
def memory_limit(stage: Stage) -> None:
    """All others of the same claim are sent at their first attempt, and no process dies. The message itself fails by
    its own attempts, for a reason that names the memory, and Slack hears of it."""
    readers = stage.readers(10)
    heavy = readers[0]
    stage.victims = {heavy.user.pk}
    stage.alerts(1, readers)
    _grow_heavy(heavy.user)

    stage.strike()
    workers = [stage.worker("housekeeping", ready=False), stage.worker(ready=False)]
    stage.promise("all others are sent", stage.wait(stage.all_sent, 60), _states())
    stage.slack_hears("panic_in_send_cycle")
    told = stage.wait(lambda: any("takes more memory" in text for text in stage.slack.texts), 10)
    stage.promise("Slack hears the cause", told, stage.slack.texts[:2])
    stage.wait(Message.objects.filter(user=heavy.user, state=State.FAILED).exists, 60)
    stage.all_end_as(State.FAILED, [heavy], reason="takes more memory")
    _failed_by_itself(stage, heavy.user)
    deaths = list(WorkerDeath.objects.values_list("part", "cause"))
    ends = [worker.ends for worker in workers]
    stage.promise("no process dies", not deaths and not any(ends), f"{deaths}, exit codes {ends}")


def _grow_heavy(user: User) -> None:
    """140 MB of text; to read them takes three times as much, and so does making a mail of them."""
    words = "an alert that has grown beyond all bounds. " * 25 * 2**17
    Message.objects.filter(user=user).update(subject="Heavy", text=words, html="<p>Heavy</p>")


def _failed_by_itself(stage: Stage, heavy: User) -> None:
    """Only this user's message lost attempts, and it was claimed with the others."""
    lost = Attempt.objects.exclude(outcome=Attempt.Outcome.SENT)
    others = lost.exclude(message__user=heavy).count()
    stage.promise("no other loses an attempt", not others, f"{others} lost one")
    claims = lost.filter(message__user=heavy).values("claim_token")
    beside = Attempt.objects.filter(outcome=Attempt.Outcome.SENT, claim_token__in=claims).count()
    stage.promise("it was claimed with the others", beside, "it was alone")


@drill("sigterm-mid-send", broke="SIGTERM to a deployment in the middle of sending", processes=True, environment=_QUICK)
def sigterm(stage: Stage) -> None:
    """What is on the wire is finished, the rest is given back, the exit code is 0; nothing is lost or repeated when
    another worker goes on, and nobody needs to hear of it."""
    readers = stage.readers(4)
    stage.smtp.delay = 0.2
    worker = stage.worker(supervised=False)
    stage.crossings(40, readers)
    stage.promise("it sends", stage.wait(lambda: len(stage.smtp.mails) >= 5, 30), len(stage.smtp.mails))

    began = time.monotonic()
    code = worker.stop(whole_group=True)
    took = time.monotonic() - began
    left = Notification.objects.exclude(state=State.SENT).count()
    stage.promise("it exits with 0", code == 0, code)
    stage.promise("it stops within five seconds", took < 5, f"{took:.1f} s")
    stage.promise("it stopped in the middle", left > 0, "all was sent before")
    cut = Attempt.objects.exclude(outcome=Attempt.Outcome.SENT).count()
    stage.promise("what is on the wire is finished", not cut, f"{cut} were cut off")
    stage.nothing_burnt()

    stage.smtp.delay = 0
    stage.worker()
    stage.promise("another worker sends the rest", stage.wait(stage.all_sent, 40), _states())
    stage.slack_is_quiet()


@drill("two-senders", broke="two deployments of the same cadence send at once", processes=True)
def two_senders(stage: Stage) -> None:
    """Both work, and nothing is lost or repeated."""
    readers = stage.readers(4)
    stage.smtp.delay = 0.1
    stage.worker()
    stage.worker()

    stage.crossings(150, readers)
    stage.promise("all is sent", stage.wait(stage.all_sent, 60), _states())
    sent = _sent_by(stage)
    stage.promise("both deployments send", len(sent) == 2 and all(sent), sent)
    stage.slack_is_quiet()


def _sent_by(stage: Stage) -> list[int]:
    """How many messages each deployment has sent: an attempt names its process, as host:pid:run."""
    made = Counter(int(worker.rsplit(":", 2)[1]) for worker in Attempt.objects.values_list("worker", flat=True))
    return [sum(count for pid, count in made.items() if worker.owns(pid)) for worker in stage.workers]


@drill("poison-message", broke="a message kills whatever process sends it", processes=True, environment=_QUICK)
def poison(stage: Stage) -> None:
    """All others are sent. The poison is tried alone, and after three deaths alone it is set aside with its reason and
    told to Slack."""
    readers = stage.readers(4)
    poisoned = readers[0]
    stage.victims = {poisoned.user.pk}
    # what was in hand beside it at its first kill; then it is alone, and the server takes it each time
    stage.may_repeat = len(readers) - 1 + DEATHS_TO_QUARANTINE
    killer = Killer(stage, lambda address: address == poisoned.address)
    stage.smtp.before_answer = killer
    stage.alerts(1, readers)

    stage.strike()
    stage.worker("housekeeping", ready=False)
    stage.worker(ready=False)
    stage.slack_hears(*DIED)
    counted = stage.wait(Message.objects.get(user=poisoned.user).death_records.exists, 10)
    stage.promise("its first death is counted", counted, _states())
    _set_aside(stage, poisoned.user)
    stage.promise("it killed no more than four processes", len(killer.killed) <= 4, len(killer.killed))


def _set_aside(stage: Stage, user: User) -> None:
    """The message of this user ends in quarantine, with its deaths; everybody else's is sent."""
    stage.promise("all others are sent", stage.wait(stage.all_sent, 60), _states())
    rows = Notification.objects.filter(subscription__user=user)
    apart = stage.wait(rows.filter(state=State.QUARANTINED).exists, 100)
    stage.promise("the message is set aside", apart, _states())
    deaths = Message.objects.get(user=user).death_records.filter(alone=True).count()
    stage.promise("three deaths alone are on record", deaths == DEATHS_TO_QUARANTINE, deaths)
    stage.strike()
    stage.slack_hears("message_quarantined")


@drill("disk-full-for-logs", broke="the disk for the logs is full", processes=True)
def disk_full(stage: Stage) -> None:
    """Alerts are sent as if nothing was, incidents reach Slack, and the worker stops cleanly."""
    readers = stage.readers(4)
    deleted = readers[0]
    stage.victims = {deleted.user.pk}
    worker = stage.worker(log=Path("/dev/full"), supervised=False)

    stage.strike()
    stage.alerts(5, readers)
    User.objects.filter(pk=deleted.user.pk).update(deleted_at=stage.now())
    stage.crossings(5, readers)
    stage.promise("all is sent", stage.wait(stage.all_sent, 40), _states())
    stage.slack_hears("deleted_user_with_subscriptions")
    code = worker.stop()
    stage.promise("it exits with 0", code == 0, code)
    kinds = set(Incident.objects.values_list("kind", flat=True))
    stage.promise("nothing else is amiss", kinds == {"deleted_user_with_subscriptions"}, kinds)


def _states() -> str:
    return str(dict(Counter(Message.objects.values_list("state", flat=True))))
