"""Drills on the mail server: down, refusing, hanging, dropping connections, not found; and on Slack."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.conf import settings

from accounts.models import Channel, ChannelKind
from alerting.cycle.ways_out import kinds_shut
from alerting.gameday.drill import PRODUCTION_LADDER, drill
from alerting.gameday.readers import Reader
from alerting.gameday.stage import Stage
from alerting.models import Attempt, State
from resilience.models import Incident

_HALF_AN_HOUR = 1800.0
_RESOLVER_SECONDS = 30.0  # with two servers and two tries each, as in resolv.conf(5), about what glibc takes


@drill(
    "smtp-down-then-back",
    broke="the mail server is down for half an hour of simulated time",
    environment={"RETRY_LADDER_SECONDS": PRODUCTION_LADDER},
)
def down(stage: Stage) -> None:
    """Nothing fails for good and no attempt is burnt; Slack hears of it once; all leaves by itself when it is back."""
    stage.alerts(3, stage.readers(4))

    stage.strike()
    stage.smtp.stop()
    stage.cycles(15, apart=_HALF_AN_HOUR / 15)
    stage.nothing_burnt()
    stage.slack_hears("transport_paused")
    posts = len(stage.slack.texts)
    stage.promise("half an hour is not more than three posts", posts <= 3, posts)

    stage.smtp.start()
    stage.settle()
    stage.promise("all leaves by itself when the server is back", stage.all_sent(), "not all")


@drill("smtp-refuses-some", broke="the mail server answers 421, 451 and 550 to some")
def refuses(stage: Stage) -> None:
    """421 and 451 are tried again and delivered; 550 5.1.1 fails for good, disables the channel and is told; all
    others get theirs at once, each once."""
    readers = stage.readers(8)
    hangs_up, later, gone, others = readers[0], readers[1], readers[2], readers[3:]
    stage.victims = {gone.user.pk}
    stage.smtp.rcpt_answers[hangs_up.address] = ["421 4.3.2 closing", ""]
    stage.smtp.data_answers[later.address] = ["451 4.3.0 try again later", ""]
    stage.smtp.rcpt_answers[gone.address] = "550 5.1.1 no such user"
    stage.alerts(1, readers)

    stage.strike()
    stage.cycle()
    stage.all_end_as(State.FAILED, [gone], reason="no such user")
    _all_reached(stage, others, "in the first cycle")
    disabled = Channel.objects.get(pk=gone.channel.pk).disabled_reason
    stage.promise("the channel that does not exist is disabled, and says why", "no such user" in disabled, disabled)
    stage.slack_hears("message_failed")

    stage.settle()
    stage.all_end_as(State.SENT, [hangs_up, later])


@drill(
    "smtp-hangs",
    broke="the mail server hangs for one reader, then says nothing to anybody",
    # the deadline is what ends a message here, and far enough away to see who waits for it
    environment={"SMTP_TIMEOUT": "30", "SEND_DEADLINE_SECONDS": "10", "LEASE_SECONDS": "40"},
)
def hangs(stage: Stage) -> None:
    """A message that hangs is cut off at its deadline and holds up no other, also none that comes meanwhile. A server
    that says nothing to anybody is told to Slack and burns no attempt; all is delivered when it speaks again."""
    readers, newcomer = stage.readers(6), stage.readers(1, slug="kahu")
    stuck, others = readers[0], readers[1:]
    stage.smtp.hang.add(stuck.address)
    stage.alerts(1, readers)

    began = time.monotonic()
    cycle = stage.cycle_meanwhile()
    stage.wait(lambda: all(stage.smtp.to(one.address) for one in others), 5)
    _all_reached(stage, others, "while one hangs")
    stage.alerts(1, newcomer)
    stage.wait(lambda: stage.smtp.to(newcomer[0].address), 3)
    still = not Attempt.objects.filter(message__user=stuck.user).exists()
    _all_reached(stage, newcomer, "who come meanwhile, within three seconds")
    stage.promise("one hangs all the while", still and cycle.is_alive(), "it had ended")

    cycle.join(60)
    took = time.monotonic() - began
    deadline = settings.SEND_DEADLINE_SECONDS
    stage.promise("the cycle ends soon after the deadline", deadline <= took < deadline + 5, f"after {took:.1f} s")
    outcomes = set(Attempt.objects.filter(message__user=stuck.user).values_list("outcome", flat=True))
    stage.promise("that it may have arrived is on record", outcomes == {Attempt.Outcome.UNKNOWN}, outcomes)

    stage.smtp.hang.clear()
    stage.settle()
    stage.strike()
    stage.smtp.mute = True
    stage.alerts(1, readers)
    stage.cycle()
    stage.nothing_burnt()
    stage.slack_hears("transport_paused")

    stage.smtp.mute = False
    stage.settle()


@drill("smtp-hangs-after-data", broke="the mail server takes every message and never answers")
def hangs_after_data(stage: Stage) -> None:
    """Nobody knows whether they arrived: all are tried again under the same Message-ID, Slack hears of it within a
    minute, and all are delivered when the server answers."""
    readers = stage.readers(6)
    stage.alerts(1, readers)
    stage.settle()  # it was well until now
    stage.smtp.hang.update(one.address for one in readers)
    stage.alerts(1, readers)

    stage.strike()
    for _ in range(3):  # a minute
        stage.cycle()
        stage.housekeeping()
        stage.later(seconds=20)
    stage.slack_hears("transport_paused", "nothing_accepted", "messages_delayed", "messages_overdue")

    stage.smtp.hang.clear()
    before = len(stage.smtp.mails)
    stage.settle()
    tried = {mail.message_id for mail in stage.smtp.unanswered}
    again = {mail.message_id for mail in stage.smtp.mails[before:]}
    stage.promise("all are tried again under the same Message-ID", len(tried) == 6 and tried == again, tried ^ again)


@drill("smtp-drops-after-data", broke="the mail server takes a message and drops the connection without an answer")
def drops_after_data(stage: Stage) -> None:
    """The message is sent once more under the same Message-ID, so that the repeat can be recognised; the attempt is on
    record as unknown; nobody else gets anything twice."""
    readers = stage.readers(6)
    dropped = readers[0]
    stage.smtp.drop_after_data[dropped.address] = 1
    stage.may_repeat = 1
    stage.alerts(1, readers)

    stage.cycle()
    outcomes = set(Attempt.objects.filter(message__user=dropped.user).values_list("outcome", flat=True))
    stage.promise("that it may have arrived is on record", outcomes == {Attempt.Outcome.UNKNOWN}, outcomes)
    _all_reached(stage, readers[1:], "in the same cycle")

    stage.settle()
    mails = stage.smtp.to(dropped.address)
    ids = {mail.message_id for mail in mails}
    stage.promise("the repeat has the same Message-ID", (len(mails), len(ids)) == (2, 1), (len(mails), ids))


@drill("dns-failure", broke="the mail server's name cannot be resolved; then whoever asks for it gets no answer")
def dns(stage: Stage) -> None:
    """No attempt is burnt, Slack hears of it, and all leaves by itself once the name resolves. A look-up that hangs
    holds up a message no longer than its deadline, and pauses the whole way."""
    readers = stage.readers(4)
    stage.alerts(2, readers)

    stage.strike()
    host, settings.SMTP_HOST = settings.SMTP_HOST, "mail.watchkeeper.invalid"  # RFC 2606: never resolves
    stage.cycles(3, apart=20)
    stage.nothing_burnt()
    stage.slack_hears("transport_paused")
    settings.SMTP_HOST = host
    stage.settle()

    stage.strike()
    settings.SMTP_HOST = "localhost"  # one that a resolver has to be asked for
    with _resolver_hangs(settings.SMTP_HOST):
        stage.alerts(2, readers)
        began = time.monotonic()
        stage.cycle()
        took = time.monotonic() - began
        shut = kinds_shut()
        stage.promise("the cycle ends with the deadline", took < settings.SEND_DEADLINE_SECONDS + 1, f"{took:.1f} s")
        stage.promise("the whole way pauses", shut == {ChannelKind.EMAIL}, shut)
        stage.nothing_burnt()
        stage.slack_hears("transport_paused", anew=True)
    stage.settle()


@contextmanager
def _resolver_hangs(host: str) -> Iterator[None]:
    """Who asks for this name waits for longer than any message may. What the machine's own resolver would do."""
    asked, over = socket.getaddrinfo, threading.Event()

    def hang(name: str | bytes | None, *args: Any, **named: Any) -> Any:
        if name == host and not over.wait(_RESOLVER_SECONDS):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return asked(name, *args, **named)

    with mock.patch.object(socket, "getaddrinfo", hang):
        try:
            yield
        finally:
            over.set()


@drill("slack-down", broke="Slack answers with errors, then hangs, while something goes wrong")
def slack_down(stage: Stage) -> None:
    """Alerts do not wait for Slack; what it could not be told is kept, and told when it is back."""
    readers = stage.readers(4)
    gone, others = readers[0], readers[1:]
    stage.victims = {gone.user.pk}
    stage.smtp.rcpt_answers[gone.address] = "550 5.1.1 no such user"

    began = time.monotonic()
    for answer in ("error", "hang"):
        stage.slack.answer = answer
        stage.alerts(1, readers)
        stage.cycle()
    took = time.monotonic() - began
    _all_reached(stage, others, "while Slack is down")
    stage.promise("the cycles do not wait for Slack", took < 10, f"{took:.1f} s")
    failed = Incident.objects.filter(kind="message_failed", post_failures__gt=0, has_news=True)
    kept = stage.wait(failed.exists, 10)
    stage.promise("the incident is kept until it is told", kept, "none that could not be posted has news")

    stage.strike()  # from when Slack is back
    stage.slack.answer = "ok"
    stage.slack_hears("message_failed", meanwhile=stage.housekeeping)


def _all_reached(stage: Stage, readers: list[Reader], when: str) -> None:
    missing = [one.address for one in readers if not stage.smtp.to(one.address)]
    stage.promise(f"all others are reached {when}", not missing, missing)
