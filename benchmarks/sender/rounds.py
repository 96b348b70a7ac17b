"""The senders as processes, in rounds: in each round all run once, so that a noisy minute hits all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from benchmarks.sender.measured import Measured, heard
from benchmarks.stage.databases import ROOT
from benchmarks.stage.smtp_sink import SmtpSink

LONGEST_RUN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Sender:
    """One sender with its settings: the module that runs it, its arguments, and its database's environment."""

    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    messages: int = 5_000

    def run(self, *, delay: float, connections: int = 500) -> Measured:
        """Once, against a mail server of its own. Raises where the server has not taken exactly these mails."""
        with SmtpSink(delay=delay, connections=connections) as sink:
            done = subprocess.run(
                [sys.executable, "-m", self.module, str(self.messages), *self.arguments],
                cwd=ROOT,
                env=dict(self.environment) | {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(sink.port)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LONGEST_RUN_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                raise RuntimeError(f"{self.module} {self.arguments} failed: {done.stderr[-3000:]}")
            if sink.count() != self.messages:
                raise RuntimeError(f"{self.module}: the mail server took {sink.count()} of {self.messages}")
        return heard(done.stdout)


@dataclass(frozen=True, slots=True)
class PostOffice:
    """Settings of django-post_office; it has `processes` times `threads` connections."""

    processes: int
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"post_office -p {self.processes}, {self.threads} threads, batch {self.batch}"


def ours_sender(
    environment: Mapping[str, str], *, connections: int, processes: int = 1, words: str = "prepared"
) -> Sender:
    """`connections` of all processes together."""
    own = {"MAIL_CONNECTIONS": str(connections // processes)}
    return Sender("benchmarks.sender.ours", (str(processes), words), {**environment, **own})


def post_office_sender(environment: Mapping[str, str], settings: PostOffice) -> Sender:
    own = {"POST_OFFICE_THREADS": str(settings.threads), "POST_OFFICE_BATCH": str(settings.batch)}
    return Sender("benchmarks.sender.post_office", (str(settings.processes),), {**environment, **own})


def mailer_sender(environment: Mapping[str, str], messages: int) -> Sender:
    return Sender("benchmarks.sender.mailer", (), environment, messages)


def bare_sender(environment: Mapping[str, str], *, connections: int) -> Sender:
    """No sender, but what one bare process carries here."""
    return Sender("benchmarks.sender.bare", (str(connections),), environment)


@dataclass
class Rounds:
    """Runs a round when somebody asks for one that has not been run, and keeps what was measured."""

    senders: Mapping[str, Sender]
    delay: float
    measured: list[dict[str, Measured]] = field(default_factory=list)

    def of(self, name: str, figure: Callable[[Measured], float]) -> Callable[[], float]:
        """For a `Case`: each call gives the figure of the next round."""
        numbers = count()

        def next_figure() -> float:
            return figure(self._round(next(numbers))[name])

        return next_figure

    def _round(self, number: int) -> dict[str, Measured]:
        while len(self.measured) <= number:
            self.measured.append({name: sender.run(delay=self.delay) for name, sender in self.senders.items()})
        return self.measured[number]
