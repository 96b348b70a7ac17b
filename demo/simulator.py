"""The simulated receiver: `python -m demo.simulator` serves the traffic as NMEA over TCP, as a real one does.

Whoever connects is told first what everybody is and where, then every report as it falls due.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import signal
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import count

from demo.sentences import position_sentences, static_sentences
from demo.traffic import Ship, make_fleet

STATIC_SECONDS = 360.0  # ITU-R M.1371: static data every six minutes
LARGEST_BACKLOG = 4_000_000  # bytes that a client may leave unread before it is dropped
TICK_SECONDS = 0.25

Say = Callable[[Ship, float, datetime, int], list[str]]


class Traffic:
    """What the fleet transmits, in the order of time."""

    def __init__(self, fleet: Iterable[Ship], began: datetime) -> None:
        self.fleet = list(fleet)
        self.began = began
        self._sequence = count()
        # Spread over the interval, as real ships are: nobody's clock agrees with anybody's.
        self._due: list[tuple[float, int, Say]] = []
        for index, ship in enumerate(self.fleet):
            share = index / max(1, len(self.fleet))
            self._due.append((share * ship.report_seconds, 2 * index, position_sentences))
            self._due.append((share * STATIC_SECONDS, 2 * index + 1, static_sentences))
        heapq.heapify(self._due)

    def skip_to(self, moment: float) -> None:
        """Leaves out what fell due before `moment`, when nobody listened."""
        list(self._take(moment))

    def until(self, moment: float) -> list[str]:
        """The sentences that fell due since the last call, up to `moment`."""
        lines: list[str] = []
        for due, ship, say in self._take(moment):
            if ship.transmits(due):
                lines += say(ship, due, self.began, next(self._sequence))
        return lines

    def everything(self, moment: float) -> list[str]:
        """What every transmitting ship would say now."""
        lines: list[str] = []
        for ship in self.fleet:
            if ship.transmits(moment):
                lines += static_sentences(ship, moment, self.began, next(self._sequence))
                lines += position_sentences(ship, moment, self.began, next(self._sequence))
        return lines

    def _take(self, moment: float) -> Iterable[tuple[float, Ship, Say]]:
        while self._due and self._due[0][0] <= moment:
            due, key, say = self._due[0]
            ship = self.fleet[key // 2]
            step = ship.report_seconds if say is position_sentences else STATIC_SECONDS
            # After a long pause (a first start long ago, a suspended laptop) go on from now, in the same rhythm.
            behind = max(0.0, (moment - due) // step - 1)
            heapq.heapreplace(self._due, (due + (behind + 1) * step, key, say))
            yield due + behind * step, ship, say


class Receiver:
    """The TCP server."""

    def __init__(self, traffic: Traffic, clock: Callable[[], datetime]) -> None:
        self.traffic = traffic
        self.clock = clock
        self.clients: set[asyncio.StreamWriter] = set()
        self._conversations: set[asyncio.Task[None]] = set()

    def moment(self) -> float:
        return (self.clock() - self.traffic.began).total_seconds()

    async def serve(self, host: str, port: int, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, host, port)
        address = server.sockets[0].getsockname()
        print(f"{len(self.traffic.fleet)} simulated vessels on {address[0]}:{address[1]}", flush=True)
        self.traffic.skip_to(self.moment())
        while not stop.is_set():
            self._tell(self.traffic.until(self.moment()))
            await asyncio.sleep(TICK_SECONDS)
        server.close()
        for client in self.clients:
            client.transport.abort()  # a close would wait for those who do not read
        if self._conversations:
            await asyncio.wait(self._conversations)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task of our own: asyncio's streams would print the CancelledError of one that the end of the loop cuts."""
        task = asyncio.get_running_loop().create_task(self._welcome(reader, writer))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_bytes(self.traffic.everything(self.moment())))
        self.clients.add(writer)
        try:
            while await reader.read(1024):  # whatever a client says is of no interest, only that it leaves
                pass
        except ConnectionError:
            pass  # it left without saying goodbye
        finally:
            self.clients.discard(writer)
            writer.close()

    def _tell(self, lines: list[str]) -> None:
        for client in list(self.clients):
            if client.transport.get_write_buffer_size() > LARGEST_BACKLOG:
                self.clients.discard(client)
                client.transport.abort()
            elif lines:
                client.write(_bytes(lines))


def _bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


async def _run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    began = datetime.fromisoformat(options.began) if options.began else datetime.now(UTC)
    receiver = Receiver(Traffic(make_fleet(options.seed), began), lambda: datetime.now(UTC))
    await receiver.serve(options.host, options.port, stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=10110)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--began", help="when the simulated world began, ISO 8601 with zone; default: now")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
