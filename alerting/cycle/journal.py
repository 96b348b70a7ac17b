"""The journal: what servers accepted, kept where a process that is killed leaves it, until the database has it.

A file of its worker's, mapped into memory: writing takes a microsecond, asks nothing of the disk, and survives all but
the machine. A connection has a page of two places. It writes each acceptance over the last but one, whose outcome is in
the database by then, so that a commit is waited for only if it takes longer than a send. The worker holds a lock on its
file. A file that nobody holds was left behind: `recovery` reads it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from alerting.cycle.tried import Tried
from resilience.file_locks import lock_taken
from resilience.incidents import incident_clear, incident_report

SUFFIX = ".journal"
LONGEST_TURN_SECONDS = 0.5
_MOST_TRIES = 10
_PLACE_BYTES = 512
_PLACES = 2
_CHECKSUM = struct.Struct("<I")
# Message, token of its claim, started and ended in Unix seconds, bytes of the answer.
_FIELDS = struct.Struct("<q16sddH")
_LONGEST_ANSWER = _PLACE_BYTES - _CHECKSUM.size - _FIELDS.size


class Accepted(NamedTuple):
    """A message that a server took, the claim that held it, and the try. Of the answer only the beginning is kept."""

    message_id: int
    token: UUID
    tried: Tried


class Page:
    """Two places for one connection, used in turns, by one thread at a time."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._places = (at, at + _PLACE_BYTES)
        self._next = 0

    def keep(self, accepted: Accepted) -> None:
        """Over the last but one. A write that is cut off has a wrong checksum, and counts for nothing."""
        written = _packed(accepted)
        at = self._places[self._next]
        self._next = 1 - self._next
        self._memory[at : at + len(written)] = written


class Journal:
    """Of one process. `pages` once for each cycle: it must not begin before all of the last one is settled, or left."""

    def __init__(self, folder: Path, name: str, *, pages: int, missed: bool = False) -> None:
        """`name`: that of the worker, which no other process has. `missed`: a process before it may have had none."""
        self._folder = folder
        self._name = name
        self._size = pages * _PLACES * _PLACE_BYTES
        self._files = 0
        self._file = -1
        self._memory: mmap.mmap | None = None
        self._missed = missed
        self._incident = f"no_journal:{name.partition(':')[0]}"  # of this host

    def pages(self) -> Iterator[Page]:
        """To be taken by any thread, each by one. None where no file can be made: who sends waits for each commit."""
        try:
            if self._memory is not None and os.fstat(self._file).st_nlink == 0:
                self.leave()  # somebody has removed it: nobody would find what is written there
            memory = self._memory = self._memory or self._opened()
            # readers wait for a young one only, and some file systems see no writes to a file that is mapped: tmpfs
            os.utime(self._file)
        except OSError as fault:
            self.leave()
            with suppress(OSError):
                self._path().unlink()
            self._missed = True
            incident_report(
                kind="no_journal",
                summary=f"No journal can be kept in {self._folder}: {fault}. Sending goes on, slower.",
                severity="warning",
                fingerprint=self._incident,
                error=fault,
            )
            return iter(())
        if self._missed:
            incident_clear(fingerprint=self._incident, by="send cycle", now=datetime.now(UTC))
            self._missed = False
        # a list's: unlike a generator, threads may share it
        return iter([Page(memory, at) for at in range(0, self._size, _PLACES * _PLACE_BYTES)])

    def leave(self) -> None:
        """To `recovery`, with all that is in it. The next cycle begins another file. Never raises."""
        file, self._file, self._memory = self._file, -1, None
        if file < 0:
            return
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: the memory holds the file too
        with suppress(OSError):
            os.close(file)

    def _opened(self) -> mmap.mmap:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not any(self._begun() for _ in range(_MOST_TRIES)):
            raise OSError(errno.EAGAIN, "a new journal is taken away each time")
        os.posix_fallocate(self._file, 0, self._size)  # a full disk says so now
        return mmap.mmap(self._file, self._size)

    def _begun(self) -> bool:
        """A new file, locked. False where `recovery` saw it a moment before, and took it for one that was left."""
        self.leave()
        self._files += 1
        self._file = os.open(self._path(), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        return lock_taken(self._file) and os.fstat(self._file).st_nlink > 0

    def _path(self) -> Path:
        return self._folder / f"{self._name}.{self._files}{SUFFIX}"


def journals_in(folder: Path) -> list[Path]:
    """All of them; some may be held by workers that live. Raises `OSError` where the folder cannot be listed."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if name.endswith(SUFFIX)]


def worker_of(path: Path) -> str:
    """Whose it was."""
    return path.name.removesuffix(SUFFIX).rpartition(".")[0]


@contextmanager
def journal_taken(path: Path) -> Iterator[Sequence[Accepted] | None]:
    """What is in it; it is removed after the block. None where its worker holds it still, or another reader took it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # another process was faster
        yield None
        return
    try:
        if not lock_taken(file):
            yield None
            return
        yield list(_read(os.pread(file, os.fstat(file).st_size, 0)))
        path.unlink(missing_ok=True)
    finally:
        os.close(file)


@contextmanager
def readers_turn(folder: Path, *, seconds: float = LONGEST_TURN_SECONDS) -> Iterator[None]:
    """One reader at a time: a journal that is held then is its worker's, and not another reader's who has yet to
    record it. Raises `TimeoutError`, and what the disk does."""
    until = time.monotonic() + seconds
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while not lock_taken(file):
            if time.monotonic() > until:
                raise TimeoutError(f"another process has read the journals in {folder} for {seconds:g} s")
            time.sleep(0.002)
        yield
    finally:
        os.close(file)


def _read(written: bytes) -> Iterator[Accepted]:
    for at in range(0, len(written), _PLACE_BYTES):
        accepted = _unpacked(written[at : at + _PLACE_BYTES])
        if accepted is not None:
            yield accepted


def _packed(accepted: Accepted) -> bytes:
    tried = accepted.tried
    answer = tried.answer.encode("utf-8", errors="replace")[:_LONGEST_ANSWER]
    fields = _FIELDS.pack(
        accepted.message_id,
        accepted.token.bytes,
        tried.started_at.timestamp(),
        tried.ended_at.timestamp(),
        len(answer),
    )
    return _CHECKSUM.pack(zlib.crc32(answer, zlib.crc32(fields))) + fields + answer


def _unpacked(written: bytes) -> Accepted | None:
    """None for a place that was never used, or whose write was cut off."""
    start = _CHECKSUM.size + _FIELDS.size
    if len(written) < start or not any(written):
        return None
    (checksum,) = _CHECKSUM.unpack_from(written)
    message_id, token, started, ended, length = _FIELDS.unpack_from(written, _CHECKSUM.size)
    if zlib.crc32(written[_CHECKSUM.size : start + length]) != checksum:
        return None
    answer = written[start : start + length].decode("utf-8", errors="replace")
    try:
        tried = Tried(datetime.fromtimestamp(started, UTC), datetime.fromtimestamp(ended, UTC), answer)
    except (ValueError, OverflowError, OSError):  # another version wrote it
        return None
    return Accepted(message_id, UUID(bytes=token), tried)
