"""Live feeds against real sockets on loopback: lost connections, garbage, datagrams, stopping."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.vessels.feeds.writing import NOON, ais, at, position
from vessels.feeds import FeedState, LiveSource, open_live, parse_source
from vessels.feeds.rejections import Rejections
from vessels.reports import Batch

NOW = datetime.fromtimestamp(NOON, UTC)
SOON = 15.0  # seconds within which everything here has to happen


def clock() -> datetime:
    return NOW


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(SOON)
        yield listening


def live_source(kind: str, port: int) -> LiveSource:
    source = parse_source(f"nmea+{kind}://127.0.0.1:{port}")
    assert isinstance(source, LiveSource)
    return source


class Listener:
    """Runs a live feed in a thread and keeps what comes of it."""

    def __init__(self, source: LiveSource) -> None:
        self.stop = threading.Event()
        self.batches: list[Batch] = []
        self.states: list[FeedState] = []
        self._source = source
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(SOON)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        for batch in open_live(
            self._source, feed=2, clock=clock, stop=self.stop, report=self.states.append, random_unit=lambda: 0.0
        ):
            self.batches.append(batch)

    @property
    def mmsis(self) -> list[int]:
        return [mmsi for batch in list(self.batches) for mmsi in batch.rows["mmsi"].tolist()]

    @property
    def rejected(self) -> dict[str, int]:
        total = Rejections()
        for batch in list(self.batches):
            for kind, rejected in batch.rejected.items():
                for _ in range(rejected.count):
                    total.add(kind, rejected.sample)
        return {kind: r.count for kind, r in total.items()}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_sentences_of_a_server_become_batches(server: socket.socket) -> None:
    with Listener(live_source("tcp", server.getsockname()[1])) as listener:
        connection, _ = server.accept()
        with connection:
            connection.sendall(f"{at(-5, position())}\r\n{position(mmsi=219000002)}\r\n".encode())
            until(lambda: len(listener.mmsis) == 2)

    rows = next(batch.rows for batch in listener.batches if len(batch))
    assert rows["time"].tolist() == [(NOON - 5) * 10**6, NOON * 10**6]
    assert rows["received_at"].tolist() == [NOON * 10**6] * 2
    assert rows["feed"].tolist() == [2, 2]
    assert listener.states[0].event == "feed_connected"


def test_a_server_that_drops_garbles_and_comes_back_is_listened_to_again(server: socket.socket) -> None:
    with Listener(live_source("tcp", server.getsockname()[1])) as listener:
        first, _ = server.accept()
        with first:
            first.sendall(b"\xff\x00garbage\n" + position().encode()[:20])
        second, _ = server.accept()
        with second:
            second.sendall(f"{position(mmsi=219000002)}\n".encode())
            until(lambda: 219000002 in listener.mmsis)

    assert listener.mmsis == [219000002]
    assert listener.rejected == {"garbled": 2}
    assert [s.event for s in listener.states[:3]] == ["feed_connected", "feed_disconnected", "feed_connected"]
    assert listener.states[1].reason == "closed by the server"
    assert listener.states[1].retry_in == pytest.approx(0.25)


def test_a_sentence_in_two_pieces_is_put_together(server: socket.socket) -> None:
    line = f"{position()}\n".encode()

    with Listener(live_source("tcp", server.getsockname()[1])) as listener:
        connection, _ = server.accept()
        with connection:
            connection.sendall(line[:25])
            time.sleep(0.4)
            connection.sendall(line[25:])
            until(lambda: listener.mmsis == [219000001])

    assert not listener.rejected


def test_a_message_of_two_sentences_may_come_in_two_batches(server: socket.socket) -> None:
    first, second = ais(type=5, shipname="AURORA")

    with Listener(live_source("tcp", server.getsockname()[1])) as listener:
        connection, _ = server.accept()
        with connection:
            connection.sendall(f"{first}\n".encode())
            time.sleep(0.6)
            connection.sendall(f"{second}\n".encode())
            until(lambda: any(batch.statics for batch in listener.batches))

    assert not listener.rejected


def test_pauses_grow_while_nobody_answers() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]

    with Listener(live_source("tcp", port)) as listener:
        until(lambda: len(listener.states) >= 3)

    assert [s.retry_in for s in listener.states[:3]] == [0.25, 0.5, 1.0]
    assert "refused" in listener.states[0].reason.lower()


def test_more_than_ten_minutes_ahead_is_dropped_and_ten_are_not(server: socket.socket) -> None:
    with Listener(live_source("tcp", server.getsockname()[1])) as listener:
        connection, _ = server.accept()
        with connection:
            lines = [at(601, position(mmsi=219000009)), at(600, position(mmsi=219000002))]
            connection.sendall("\n".join([*lines, ""]).encode())
            until(lambda: bool(listener.mmsis))

    assert listener.mmsis == [219000002]
    assert listener.rejected == {"from_the_future": 1}


def test_batches_stay_small(server: socket.socket) -> None:
    with Listener(live_source("tcp", server.getsockname()[1])) as listener:
        connection, _ = server.accept()
        with connection:
            connection.sendall("".join(f"{position(mmsi=219000000 + n)}\n" for n in range(2_500)).encode())
            until(lambda: len(listener.mmsis) == 2_500)

    assert max(len(batch) for batch in listener.batches) <= 1_000
    ordinals = [o for batch in listener.batches for o in batch.rows["ordinal"].tolist()]
    assert ordinals == list(range(2_500))


def test_a_stop_ends_a_quiet_connection_at_once(server: socket.socket) -> None:
    listener = Listener(live_source("tcp", server.getsockname()[1]))
    with listener:
        connection, _ = server.accept()
        until(lambda: bool(listener.batches))  # empty ones come while nothing is heard
        asked = time.monotonic()
        listener.stop.set()
        until(lambda: listener.states[-1].event == "feed_disconnected")

    assert time.monotonic() - asked < 5
    connection.close()


def test_a_stop_ends_a_long_pause_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vessels.feeds.live.FIRST_PAUSE", 30.0)
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        source = live_source("tcp", gone.getsockname()[1])
    stop = threading.Event()
    states: list[FeedState] = []
    batches = open_live(source, feed=0, clock=clock, stop=stop, report=states.append, random_unit=lambda: 1.0)
    next(batches)

    stop.set()
    asked = time.monotonic()
    rest = list(batches)

    assert not rest
    assert time.monotonic() - asked < 10


def test_datagrams_are_heard() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    with Listener(live_source("udp", port)) as listener, closing(socket.socket(type=socket.SOCK_DGRAM)) as sender:
        until(lambda: bool(listener.states))
        sender.sendto(f"{position()}\r\n{position(mmsi=219000002)}".encode(), ("127.0.0.1", port))
        sender.sendto(position(mmsi=219000003).encode(), ("127.0.0.1", port))
        sender.sendto(b"", ("127.0.0.1", port))
        until(lambda: len(listener.mmsis) == 3)

    assert listener.mmsis == [219000001, 219000002, 219000003]
    assert listener.states[0].event == "feed_connected"


def test_an_address_that_is_taken_is_tried_again() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("127.0.0.1", 0))
        listener = Listener(live_source("udp", taken.getsockname()[1]))
        with listener:
            until(lambda: bool(listener.states))

    assert listener.states[0].event == "feed_disconnected"
    assert listener.states[0].retry_in is not None


def test_the_clock_is_asked_for_each_message(server: socket.socket) -> None:
    times = iter([NOW, NOW + timedelta(seconds=1)])
    stop = threading.Event()
    source = live_source("tcp", server.getsockname()[1])
    batches = open_live(source, feed=0, clock=lambda: next(times), stop=stop)

    def send() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(f"{position()}\n{position()}\n".encode())

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    batch = next(b for b in batches if len(b))
    stop.set()
    sender.join(SOON)

    assert (batch.rows["received_at"] // 10**6 - NOON).tolist() == [0, 1]
