"""Tests of rounds: every sender once in each, run only when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from benchmarks.sender.mails import mail
from benchmarks.sender.measured import Measured, heard
from benchmarks.sender.rounds import PostOffice, Rounds, Sender, ours_sender


@dataclass
class Fake:
    """A sender that takes one second more each time."""

    name: str
    order: list[str]
    runs: list[float] = field(default_factory=list)

    def run(self, *, delay: float) -> Measured:
        self.order.append(self.name)
        self.runs.append(delay)
        return Measured(messages=1000, seconds=float(len(self.runs)), cpu_seconds=0.5)


def test_each_round_runs_every_sender_once_and_figures_share_it() -> None:
    order: list[str] = []
    senders: Any = {"ours": Fake("ours", order), "peer": Fake("peer", order)}
    rounds = Rounds(cast(dict[str, Sender], senders), delay=0.02)
    rate, cost, peer = (
        rounds.of("ours", lambda one: one.rate),
        rounds.of("ours", lambda one: one.cost),
        rounds.of("peer", lambda one: one.rate),
    )

    figures = [rate(), rate(), cost(), cost(), peer(), peer()]

    assert order == ["ours", "peer", "ours", "peer"]
    assert figures == [1000, 500, 0.5, 0.5, 1000, 500]
    assert senders["ours"].runs == [0.02, 0.02]


def test_what_a_sender_says_is_its_last_line() -> None:
    said = 'a line of a library\n{"messages": 10, "seconds": 2.0, "cpu_seconds": 0.01}\n'

    measured = heard(said)

    assert (measured.rate, measured.cost) == (5.0, 1.0)


def test_a_sender_that_says_nothing_is_a_fault() -> None:
    with pytest.raises(IndexError):
        heard("")


def test_processes_share_the_connections() -> None:
    sender = ours_sender({"PATH": "/bin"}, connections=60, processes=2)

    assert sender.environment == {"PATH": "/bin", "MAIL_CONNECTIONS": "30"}
    assert sender.arguments == ("2", "prepared")


def test_settings_of_a_peer_are_told_in_the_table() -> None:
    assert str(PostOffice(processes=4, threads=5, batch=1000)) == "post_office -p 4, 5 threads, batch 1000"


def test_mails_are_of_a_kilobyte_and_to_distinct_people() -> None:
    mails = [mail(number) for number in range(5_000)]

    assert len({one.address for one in mails}) == 5_000
    assert all(700 < len((one.text + one.html).encode()) < 1_400 for one in mails)
