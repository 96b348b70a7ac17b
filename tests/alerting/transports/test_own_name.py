"""The name by which we greet a mail server: from DNS, but not at its pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from alerting.transports.email import own_name
from alerting.transports.email.own_name import KEEP_SECONDS, NO_NAME, OwnName
from tests.alerting.transports.conftest import Clock


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


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    dns = Dns()
    monkeypatch.setattr(own_name, "asked", dns)
    yield dns
    dns.answers.set()


def soon(name: OwnName, said: str) -> bool:
    """Whether it comes to say that."""
    until = time.monotonic() + 5.0
    while name(seconds=5) != said and time.monotonic() < until:
        time.sleep(0.005)
    return name(seconds=5) == said


def test_it_is_asked_for_once_a_minute_and_nobody_waits_for_a_second_answer(dns: Dns, clock: Clock) -> None:
    name = OwnName(monotonic=clock)
    first = [name(seconds=5), name(seconds=5)]
    asked = dns.asked
    dns.name, clock.now = "other.example", clock.now + KEEP_SECONDS
    dns.answers.clear()

    meanwhile = name(seconds=5)
    dns.answers.set()

    assert (first, asked, meanwhile) == (["watch.example"] * 2, 1, "watch.example")
    assert soon(name, "other.example")
    assert dns.asked == 2


def test_while_dns_does_not_answer_a_host_has_no_name_and_a_late_answer_counts(dns: Dns, clock: Clock) -> None:
    dns.answers.clear()
    name, began = OwnName(monotonic=clock), time.monotonic()

    said = [name(seconds=0.05), name(seconds=0.05)]
    took = time.monotonic() - began
    dns.answers.set()

    assert said == [NO_NAME, NO_NAME]
    assert took < 2.0
    assert soon(name, "watch.example")
    assert dns.asked == 1


def test_many_threads_ask_once(dns: Dns, clock: Clock) -> None:
    dns.answers.clear()
    name, said = OwnName(monotonic=clock), list[str]()
    threads = [threading.Thread(target=lambda: said.append(name(seconds=5))) for _ in range(8)]

    for thread in threads:
        thread.start()
    dns.answers.set()
    for thread in threads:
        thread.join()

    assert (said, dns.asked) == (["watch.example"] * 8, 1)


def test_a_name_holds_while_dns_knows_none(dns: Dns, clock: Clock) -> None:
    name = OwnName(monotonic=clock)
    name(seconds=5)
    dns.name, clock.now = "[192.0.2.1]", clock.now + KEEP_SECONDS

    name(seconds=5)
    while dns.asked < 2:
        time.sleep(0.005)

    assert name(seconds=5) == "watch.example"


def test_a_host_without_a_name_says_the_address_that_it_has_now(dns: Dns, clock: Clock) -> None:
    dns.name = "[192.0.2.1]"
    name = OwnName(monotonic=clock)
    first = name(seconds=5)
    dns.name, clock.now = "[192.0.2.9]", clock.now + KEEP_SECONDS

    assert first == "[192.0.2.1]"
    assert soon(name, "[192.0.2.9]")


def test_a_look_up_that_raises_is_none(dns: Dns, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> str:
        raise UnicodeError("label too long")

    monkeypatch.setattr(own_name, "asked", asked)

    assert OwnName(monotonic=clock)(seconds=5) == NO_NAME


def test_where_no_thread_can_be_started_it_says_something_all_the_same(
    dns: Dns, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)

    assert OwnName(monotonic=clock)(seconds=5) == NO_NAME
