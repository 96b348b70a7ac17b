"""Files as lines of bytes, decompressed on the way, in bounded memory whatever the file holds."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

from vessels.feeds import rejections
from vessels.feeds.rejections import Rejections
from vessels.feeds.sources import SourceError

Progress = Callable[[int, int], None]
"""Called with the bytes of the file that were read and the bytes that it has."""

_BLOCK = 1 << 18
_LONGEST_LINE = 1 << 16


def sha256_of_file(path: Path) -> str:
    """SHA-256 of the file as it lies on disk, in hexadecimal. Raises `SourceError`."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_file(path: Path) -> io.BufferedReader:
    """Open a source's file. Raises `SourceError` that names the file and what is wrong."""
    try:
        if not path.is_file():
            raise SourceError(f"{path}: {'is no file' if path.exists() else 'there is no such file'}")
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error


def read_lines(path: Path, rejected: Rejections, progress: Progress | None) -> Iterator[bytes]:
    """The file's lines without their ends. A part that cannot be decompressed is counted and ends the file."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        rest = b""
        for block in _blocks(path, file, rejected):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            if len(rest) > _LONGEST_LINE:
                rejected.add(rejections.GARBLED, rest)
                rest = b""
            yield from lines
            if progress is not None:
                progress(file.tell(), size)
        if rest:
            yield rest
        if progress is not None:
            progress(size, size)


def _blocks(path: Path, file: io.BufferedReader, rejected: Rejections) -> Iterator[bytes]:
    stream = _decompressed(path, file)
    try:
        while block := stream.read1(_BLOCK):
            yield block
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        rejected.add(rejections.BAD_FILE, f"{path.name}: {error}")


def _decompressed(path: Path, file: io.BufferedReader) -> gzip.GzipFile | io.BufferedReader:
    match path.suffix.lower():
        case ".gz":
            return gzip.GzipFile(fileobj=file)
        case ".zst":
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            return io.BufferedReader(reader, _BLOCK)
    return file
