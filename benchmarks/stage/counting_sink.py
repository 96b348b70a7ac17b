"""A mail server that keeps when it took which Message-ID: `python -m benchmarks.stage.counting_sink PORT FILE DELAY`.

For what arrives, and when; not for how fast: it is Python, and a sender is measured with `smtp_sink`. A mail counts as
taken before its answer is sent, as with a real server: a sender that dies in between repeats it.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from benchmarks.stage.databases import ROOT
from benchmarks.stage.ports import answered, free_port

_MESSAGE_ID = re.compile(rb"^Message-ID: *(<[^>\r\n]*>)", re.IGNORECASE | re.MULTILINE)
_END = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail that was accepted; `at` in seconds of the wall clock."""

    at: float
    message_id: str


class CountingSink:
    """The server in a process of its own; a context manager. `delay`: seconds before the answer to each mail."""

    def __init__(self, folder: Path, *, delay: float = 0.0) -> None:
        self.port = free_port()
        self._file = folder / f"mails-{self.port}"
        self._file.touch()
        self._read: IO[str] = self._file.open(encoding="utf-8")
        self._taken: list[Taken] = []
        self._begun = ""  # a line that was read while it was written
        command = [sys.executable, "-m", __spec__.name, str(self.port), str(self._file), str(delay)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
        answered(self.port)

    def taken(self) -> Sequence[Taken]:
        """All mails so far, in their order."""
        *whole, self._begun = (self._begun + self._read.read()).split("\n")
        for line in whole:
            at, message_id = line.split()
            self._taken.append(Taken(float(at), message_id))
        return self._taken

    def __enter__(self) -> CountingSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._read.close()


class Session(asyncio.Protocol):
    """One connection. Commands may be pipelined (RFC 2920)."""

    def __init__(self, keep: IO[bytes], delay: float) -> None:
        self._keep = keep
        self._delay = delay
        self._buffer = b""
        self._in_mail = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 counting sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._mail() if self._in_mail else self._command():
            continue

    def _command(self) -> bool:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end or self._transport is None:
            return False
        self._buffer = rest
        word = line[:4].upper()
        if word == b"QUIT":
            self._transport.write(b"221 2.0.0 Bye\r\n")
            self._transport.close()
            return False
        self._in_mail = word == b"DATA"
        answers = {b"EHLO": b"250-counting sink\r\n250 PIPELINING\r\n", b"DATA": b"354 Go on\r\n"}
        self._transport.write(answers.get(word, b"250 2.0.0 Ok\r\n"))
        return True

    def _mail(self) -> bool:
        mail, end, rest = self._buffer.partition(_END)
        if not end:
            return False
        self._buffer, self._in_mail = rest, False
        found = _MESSAGE_ID.search(mail)
        self._keep.write(b"%.6f %s\n" % (time.time(), found[1] if found else b"<>"))
        asyncio.get_running_loop().call_later(self._delay, self._accept)
        return True

    def _accept(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"250 2.0.0 Ok\r\n")


async def serve(port: int, file: Path, delay: float) -> None:
    with file.open("ab", buffering=0) as keep:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Session(keep, delay), "127.0.0.1", port, backlog=500)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
