"""The name by which we greet a mail server: from DNS, but not at its pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from alerting.transports.email import own_name
from alerting.transports.email.own_name import KEEP_SECONDS, OwnName


class Dns:
    """What smtplib would find: `name`, once `answers` is set."""

    def __init__(self) -> None:
        self.name, self.asked = "watch.example", 0
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self) -> str:
        self.asked += 1
        self.answers.wait(10)
        return self.name


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    dns = Dns()
    monkeypatch.setattr(own_name, "_asked", dns)
    yield dns
    dns.answers.set()


def test_it_is_asked_for_once_a_minute(dns: Dns, clock: Clock) -> None:
    name = OwnName(monotonic=clock)

    said = [name(seconds=5), name(seconds=5)]
    dns.name, clock.now = "other.example", KEEP_SECONDS

    assert (said, name(seconds=5), dns.asked) == (["watch.example"] * 2, "other.example", 2)


def test_where_dns_does_not_answer_a_host_says_that_it_has_no_name(dns: Dns, clock: Clock) -> None:
    dns.answers.clear()
    name, began = OwnName(monotonic=clock), time.monotonic()

    said = name(seconds=0.05)

    assert said == "[127.0.0.1]"
    assert time.monotonic() - began < 2.0


def test_a_name_that_was_found_holds_while_dns_is_away(dns: Dns, clock: Clock) -> None:
    name = OwnName(monotonic=clock)
    name(seconds=5)
    dns.answers.clear()
    clock.now = KEEP_SECONDS
    silent = name(seconds=0.05)
    dns.answers.set()
    dns.name, clock.now = "[192.0.2.1]", 2 * KEEP_SECONDS
    fails = name(seconds=5)

    assert (silent, fails) == ("watch.example", "watch.example")


def test_a_host_without_a_name_says_its_address(dns: Dns, clock: Clock) -> None:
    dns.name = "[192.0.2.1]"

    assert OwnName(monotonic=clock)(seconds=5) == "[192.0.2.1]"


def test_where_no_thread_can_be_started_it_says_something_all_the_same(
    dns: Dns, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)

    assert OwnName(monotonic=clock)(seconds=5) == "[127.0.0.1]"
