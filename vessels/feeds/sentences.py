"""NMEA sentences: tag blocks, `$PGHP` lines, checksums, and messages put together from their sentences.

IEC 61162-1 (sentences), NMEA 0183 4.10 (tag blocks); `$PGHP` is Gatehouse's line before each sentence with
the time and the station of reception.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, reduce
from operator import xor

from vessels.feeds import rejections
from vessels.feeds.rejections import Rejections

MICROSECONDS = 1_000_000
MILLISECONDS_FROM = 100_000_000_000  # a `c:` above is in milliseconds: as seconds it would be the year 5138
MAX_LINE = 1_024  # a sentence has at most 82 characters and its tag block 80; some stations write more
MAX_PAYLOAD = 200
MAX_OPEN_MESSAGES = 256
MAX_PART_AGE = 60 * MICROSECONDS  # sequence ids are ten and come round again
MAX_TIME = 4_102_444_800 * MICROSECONDS  # the year 2100: no report is from before 1970 or so far ahead


@dataclass(frozen=True, slots=True)
class Tag:
    """What was said about a sentence by its tag block or `$PGHP`."""

    time: int | None = None
    station: str = ""
    group: str = ""


NO_TAG = Tag()


@dataclass(slots=True)
class Message:
    """One AIS message: its armoured payload, whole, and where and when its first sentence was heard."""

    payload: bytes
    fill_bits: int
    tag: Tag
    raw: bytes


@dataclass(slots=True)
class _Part:
    payload: bytes
    fill_bits: int
    tag: Tag
    raw: bytes


@dataclass(slots=True)
class _OpenMessage:
    parts: list[_Part | None]
    station: str
    time: int | None


class SentenceReader:
    """Turns lines into messages; holds what waits for the next line. Never raises on any bytes."""

    def __init__(self, rejected: Rejections, *, lasting: bool = False) -> None:
        """`lasting`: a `$PGHP` line holds for all sentences until the next one. In a file it is the best time that
        there is; a live source that stopped saying it would stand still, so there it is for one sentence."""
        self.rejected = rejected
        self._lasting = lasting
        self.sentences = 0
        self._block = NO_TAG  # of a tag block on a line of its own
        self._gatehouse = NO_TAG
        self._open: OrderedDict[tuple[bytes, bytes, bytes, str, str], _OpenMessage] = OrderedDict()
        self._groups: OrderedDict[str, Tag] = OrderedDict()
        self._block_cache: dict[bytes, Tag | None] = {}

    def read(self, line: bytes) -> Message | None:
        """One line, with or without its end. Gives a message when the line completes one."""
        line = line.strip()
        if not line:
            return None
        if len(line) > MAX_LINE:
            self._refuse(rejections.GARBLED, line)
            return None
        raw = line
        if line[0] == 0x5C:  # backslash
            block, line = self._take_block(line)
            if block is None:
                return None
            self._block = _joined(block, self._block)
            if not line:
                return None
        if line[0] == 0x21:  # !
            tag = self._tag()
            self._block = NO_TAG
            if not self._lasting:
                self._gatehouse = NO_TAG
            return self._sentence(line, tag, raw)
        self._other(line)
        return None

    def finish(self) -> None:
        """The source is at its end: what is still incomplete stays so."""
        while self._open:
            self._give_up(next(iter(self._open)))

    def _refuse(self, kind: str, line: bytes) -> None:
        self.rejected.add(kind, line)

    def _take_block(self, line: bytes) -> tuple[Tag | None, bytes]:
        """The tag block in front of a line and the rest of it; None, counted, where it is broken."""
        end = line.find(b"\\", 1)
        if end < 0:
            self._refuse(rejections.GARBLED, line)
            return None, b""
        text = line[1:end]
        if text not in self._block_cache:
            if len(self._block_cache) > 4_096:
                self._block_cache.clear()
            self._block_cache[text] = _tag_block(text)
        block = self._block_cache[text]
        if block is None:
            # A time that cannot be trusted is worse than none: the line is refused whole.
            self._block = NO_TAG
            if not self._lasting:
                self._gatehouse = NO_TAG
            self._refuse(rejections.BAD_CHECKSUM, line)
        return block, line[end + 1 :].lstrip()

    def _tag(self) -> Tag:
        """What is known of the sentence at hand: its block, then `$PGHP`, then its group's first sentence."""
        tag = _joined(self._block, self._gatehouse)
        if not tag.group:
            return tag
        known = self._groups.get(tag.group)
        if known is not None:
            return _joined(tag, known)
        self._groups[tag.group] = tag
        if len(self._groups) > MAX_OPEN_MESSAGES:
            self._groups.popitem(last=False)
        return tag

    def _other(self, line: bytes) -> None:
        if line[0] != 0x24 or b"*" not in line:  # $
            self._refuse(rejections.GARBLED, line)
        elif not checksum_fits(line):
            self._refuse(rejections.BAD_CHECKSUM, line)
        elif line.startswith(b"$PGHP,"):
            tag = gatehouse_tag(line)
            if tag is None:
                self._refuse(rejections.GARBLED, line)
            else:
                self._gatehouse = tag
        else:
            self._refuse(rejections.OTHER_SENTENCE, line)

    def _sentence(self, line: bytes, tag: Tag, raw: bytes) -> Message | None:
        # What some stations append after the checksum (their name, a time) is not part of the sentence.
        fields = line.partition(b"*")[0].split(b",")
        kind = fields[0][-3:]
        if len(fields) != 7 or len(fields[0]) != 6 or kind not in (b"VDM", b"VDO"):
            well_formed = len(fields) > 1 and checksum_fits(line)
            self._refuse(rejections.OTHER_SENTENCE if well_formed else rejections.GARBLED, line)
            return None
        if not checksum_fits(line):
            self._refuse(rejections.BAD_CHECKSUM, line)
            return None
        _, total, number, sequence, channel, payload, bits = fields
        fill = _FILL_BITS.get(bits)
        if not payload or len(payload) > MAX_PAYLOAD or fill is None or not _is_armoured(payload):
            self._refuse(rejections.GARBLED, line)
            return None
        self.sentences += 1
        if total == b"1" and number == b"1":
            return Message(payload, fill, tag, raw)
        if not (len(total) == len(number) == 1 and b"1" <= number <= total <= b"9"):
            self._refuse(rejections.GARBLED, line)
            return None
        key = (sequence, channel, total, kind.decode(), tag.station)
        return self._part(key, int(number) - 1, _Part(payload, fill, tag, raw))

    def _part(self, key: tuple[bytes, bytes, bytes, str, str], index: int, part: _Part) -> Message | None:
        """File one sentence of several; the message when it is the last that was missing."""
        key = self._key_of_open(key, part)
        opened = self._open.get(key)
        if opened is not None and (opened.parts[index] is not None or _is_too_old(opened, part)):
            self._give_up(key)
            opened = None
        if opened is None:
            opened = self._open[key] = _OpenMessage([None] * int(key[2]), part.tag.station, part.tag.time)
            if len(self._open) > MAX_OPEN_MESSAGES:
                self._give_up(next(iter(self._open)))
        opened.parts[index] = part
        parts = [p for p in opened.parts if p is not None]
        if len(parts) < len(opened.parts):
            return None
        del self._open[key]
        first = parts[0].tag
        tag = first if first.time is not None else Tag(next((p.tag.time for p in parts), None), first.station)
        return Message(b"".join(p.payload for p in parts), parts[-1].fill_bits, tag, b"\n".join(p.raw for p in parts))

    def _key_of_open(
        self, key: tuple[bytes, bytes, bytes, str, str], part: _Part
    ) -> tuple[bytes, bytes, bytes, str, str]:
        """Only the first sentence may name the station: a later one without joins the newest that waits for it."""
        if key in self._open or part.tag.station:
            return key
        for other in reversed(self._open):
            if other[:4] == key[:4] and not _is_too_old(self._open[other], part):
                return other
        return key

    def _give_up(self, key: tuple[bytes, bytes, bytes, str, str]) -> None:
        opened = self._open.pop(key)
        self._refuse(rejections.INCOMPLETE, next(p.raw for p in opened.parts if p is not None))


def checksum_fits(line: bytes) -> bool:
    """Whether the two hexadecimal digits after `*` are the XOR of what stands between `!` or `$` and `*`."""
    body, _, digits = line[1:].partition(b"*")
    try:
        return len(digits) >= 2 and reduce(xor, body, 0) == int(digits[:2], 16)
    except ValueError:
        return False


_FILL_BITS = {b"": 0} | {str(bits).encode(): bits for bits in range(6)}
_GROUP_IN_FRONT = re.compile(rb"^g:[0-9-]+,")
_ARMOUR = bytes(range(48, 88)) + bytes(range(96, 120))


def _is_armoured(payload: bytes) -> bool:
    """Whether every character is one of the 64 that carry six bits (ITU-R M.1371, IEC 61162-1)."""
    return not payload.translate(None, _ARMOUR)


def _is_too_old(opened: _OpenMessage, part: _Part) -> bool:
    if opened.time is None or part.tag.time is None:
        return False
    return abs(part.tag.time - opened.time) > MAX_PART_AGE


def _joined(first: Tag, second: Tag) -> Tag:
    """What `first` says, and what only `second` says."""
    if second is NO_TAG:
        return first
    if first is NO_TAG:
        return second
    return Tag(
        first.time if first.time is not None else second.time,
        first.station or second.station,
        first.group or second.group,
    )


def _tag_block(text: bytes) -> Tag | None:
    """The content of a tag block; None where its checksum does not fit."""
    # The Norwegian coastal service writes `g:` in front of a block after its checksum was made.
    if not (checksum_fits(b"\\" + text) or checksum_fits(b"\\" + _GROUP_IN_FRONT.sub(b"", text))):
        return None
    time: int | None = None
    station = receiver = group = ""
    for item in text.partition(b"*")[0].decode("ascii", "replace").split(","):
        code, _, value = item.partition(":")
        if code == "c":
            time = _tag_time(value)
        elif code == "s":
            station = value
        elif code == "r":
            # By the standard a relative time; several services write the receiving station here.
            receiver = value if len(value) >= 7 or not value.isdigit() else ""
        elif code == "g":
            group = value.rpartition("-")[2] if value.count("-") == 2 else ""
    return Tag(time, station or receiver, group)


def _tag_time(value: str) -> int | None:
    """`c:` in seconds or milliseconds since 1970, as microseconds."""
    if not (value.isascii() and value.isdigit()) or len(value) > 15:
        return None
    number = int(value)
    micros = number * 1_000 if number >= MILLISECONDS_FROM else number * MICROSECONDS
    return micros if 0 < micros <= MAX_TIME else None


def gatehouse_tag(line: bytes) -> Tag | None:
    """`$PGHP,1,year,month,day,hour,minute,second,millisecond,country,region,transponder,online,checksum*CS`."""
    fields = line.partition(b"*")[0].split(b",")
    if len(fields) < 9:
        return None
    try:
        midnight = _midnight(fields[2], fields[3], fields[4])
        hour, minute, second, milli = map(int, fields[5:9])
    except ValueError:
        return None
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 61 and 0 <= milli < 1_000):
        return None
    time = midnight + ((hour * 60 + minute) * 60 + second) * MICROSECONDS + milli * 1_000
    if not 0 < time <= MAX_TIME:
        return None
    return Tag(time, _gatehouse_station(*[*fields[10:12], b"", b""][:2]))


@lru_cache(maxsize=64)
def _midnight(year: bytes, month: bytes, day: bytes) -> int:
    """µs since 1970 at the day's beginning. Raises ValueError."""
    moment = datetime(int(year), int(month), int(day), tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400 * MICROSECONDS


@lru_cache(maxsize=4_096)
def _gatehouse_station(region: bytes, transponder: bytes) -> str:
    number = transponder or region
    return f"r{int(number):09d}" if number.isdigit() and len(number) <= 9 else ""
