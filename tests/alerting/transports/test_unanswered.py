"""An address that hangs is left alone, and holds up no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from alerting.models import ErrorKind
from alerting.transports import NotHandedOver, TransportError, nothing
from alerting.transports.addresses import Guard
from alerting.transports.posting import Poster
from alerting.transports.unanswered import LEFT_ALONE_SECONDS, WAITS, Unanswered
from tests.alerting.transports.conftest import Clock
from tests.alerting.transports.http_receiver import Receiver, drips, receiving, status

HOOK, OTHER = "https://hooks.example/a", "https://hooks.example/b"


@pytest.fixture
def unanswered(clock: Clock) -> Unanswered:
    return Unanswered(monotonic=clock)


def wait_in_vain(unanswered: Unanswered, times: int = WAITS) -> None:
    for _ in range(times):
        unanswered.begin(HOOK, who="hooks.example")
        unanswered.end(HOOK, in_vain=True)


def refused(unanswered: Unanswered, address: str = HOOK) -> bool:
    try:
        unanswered.begin(address, who="hooks.example")
    except TransportError:
        return True
    return False


def test_one_wait_is_bad_luck_and_two_are_enough(unanswered: Unanswered) -> None:
    wait_in_vain(unanswered, 1)
    assert not refused(unanswered)
    unanswered.end(HOOK, in_vain=True)

    assert refused(unanswered)
    assert not refused(unanswered, OTHER)


def test_an_answer_ends_the_row(unanswered: Unanswered) -> None:
    wait_in_vain(unanswered, 1)
    unanswered.begin(HOOK, who="hooks.example")
    unanswered.end(HOOK, in_vain=False)

    wait_in_vain(unanswered, 1)

    assert not refused(unanswered)


def test_after_a_while_one_at_a_time_asks_again(unanswered: Unanswered, clock: Clock) -> None:
    wait_in_vain(unanswered)
    clock.now += LEFT_ALONE_SECONDS

    assert not refused(unanswered)  # this one asks
    assert refused(unanswered)  # meanwhile the others are put off
    unanswered.end(HOOK, in_vain=False)
    assert not refused(unanswered)


def test_who_asks_again_in_vain_begins_the_pause_anew(unanswered: Unanswered, clock: Clock) -> None:
    wait_in_vain(unanswered)
    clock.now += LEFT_ALONE_SECONDS
    wait_in_vain(unanswered, 1)

    with pytest.raises(TransportError) as caught:
        unanswered.begin(HOOK, who="hooks.example")

    fault = caught.value
    assert fault.retry_after == LEFT_ALONE_SECONDS
    assert (fault.kind, fault.unknown, fault.whole_kind) == (ErrorKind.TRANSIENT, False, False)


def test_what_is_over_is_forgotten(unanswered: Unanswered, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerting.transports.unanswered._MOST_KEPT", 3)
    for number in range(3):
        unanswered.end(f"https://hooks.example/{number}", in_vain=True)
    clock.now += LEFT_ALONE_SECONDS

    wait_in_vain(unanswered)

    assert refused(unanswered)
    assert len(unanswered._silent) == 1


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def poster(unanswered: Unanswered) -> Iterator[Poster]:
    made = Poster(Guard((ip_network("127.0.0.0/8"),)), unanswered=Unanswered())
    yield made
    made.close()


def post(poster: Poster, receiver: Receiver, *, seconds: float = 0.3) -> TransportError | None:
    try:
        poster.post(receiver.url(), b"{}", {}, deadline=time.monotonic() + seconds, handover=nothing)
    except TransportError as fault:
        return fault
    return None


def test_a_receiver_that_hangs_costs_two_waits_and_then_nothing(poster: Poster, receiver: Receiver) -> None:
    receiver.answer = drips(b"")
    waits = [post(poster, receiver) for _ in range(WAITS)]

    began = time.monotonic()
    after = [post(poster, receiver) for _ in range(50)]

    assert time.monotonic() - began < 5  # waiting for each: 15 s
    assert all(fault is not None and fault.unknown for fault in waits)
    assert all(fault is not None and fault.retry_after and not fault.unknown for fault in after)
    assert len(receiver.requests) == WAITS


def test_faults_that_come_at_once_are_no_waits(poster: Poster, receiver: Receiver) -> None:
    receiver.answer = None

    faults = [post(poster, receiver, seconds=5) for _ in range(WAITS + 2)]

    assert all(fault is not None and fault.unknown for fault in faults)
    assert len(receiver.requests) == WAITS + 2


def test_a_body_that_drips_is_no_wait(poster: Poster, receiver: Receiver) -> None:
    """The status was there at once; the rest of the answer gets two seconds."""
    receiver.answer = drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")

    began = time.monotonic()
    fault = post(poster, receiver, seconds=30)

    assert fault is None
    assert time.monotonic() - began < 15  # its own deadline: 30 s


def test_a_database_that_is_away_is_not_the_receivers_fault(
    poster: Poster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hand-over waits for the outcome before; the receiver then has its time in full."""
    monkeypatch.setattr("alerting.transports.posting.ANSWER_SECONDS", 0.3)
    receiver.answer = status(204)

    for _ in range(WAITS + 1):
        answer = poster.post(receiver.url(), b"{}", {}, deadline=time.monotonic() + 5, handover=lambda: time.sleep(0.5))

    assert answer.status == 204


def test_a_message_that_is_kept_back_lets_another_ask(unanswered: Unanswered, receiver: Receiver) -> None:
    def kept_back() -> None:
        raise NotHandedOver

    poster = Poster(Guard((ip_network("127.0.0.0/8"),)), unanswered=unanswered)
    with pytest.raises(NotHandedOver):
        poster.post(receiver.url(), b"{}", {}, deadline=time.monotonic() + 5, handover=kept_back)
    poster.close()

    assert not refused(unanswered, receiver.url())


def test_of_many_threads_at_most_one_asks_again(unanswered: Unanswered, clock: Clock) -> None:
    wait_in_vain(unanswered)
    clock.now += LEFT_ALONE_SECONDS
    let_in: list[bool] = []

    threads = [threading.Thread(target=lambda: let_in.append(not refused(unanswered))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(let_in) == 1
