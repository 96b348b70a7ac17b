"""What a mail server says of a mail that it had accepted. Pure; the formats are of RFC 3464, RFC 3461 and RFC 6533.

The parts of a report are read here from their text: the standard library takes them apart before it undoes base64 or
quoted-printable, and of an internationalised report (RFC 6533) it reads the first group of fields only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes, message_from_string, policy
from email.message import Message
from email.utils import getaddresses

from alerting.models import ErrorKind
from alerting.transports.email.policy import Stage, Verdict, judge

_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_REPLY = re.compile(r"^(?P<code>[245]\d\d)[ -](?P<text>.*)", re.DOTALL)
_STATUS_PARTS = ("message/delivery-status", "message/global-delivery-status")
_REPORT_TEXT = "text/x-delivery-status"  # what we take both for
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
# Some of those behind the address got the mail, or may yet.
_NOT_LOST = frozenset({"delivered", "relayed", "expanded", "delayed"})
UNCLEAR = "unclear"  # our own action, for what came back and is no report
# Where the address that a report came to may stand: what the last server notes, then what the sender wrote.
_CAME_TO = ("X-Original-To", "Delivered-To", "Envelope-To", "To")
_SAYS_NOTHING = ("", "5.0.0", "4.0.0")
_LONGEST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of one mail, in the words of the server that carried it."""

    action: str  # failed, delayed, delivered, relayed or expanded; or `UNCLEAR`
    status: str = ""  # such as 5.1.1
    said: str = ""
    recipient: str = ""  # the mailbox that it is about: behind an alias another than the mail was sent to
    in_part: bool = False  # others behind the same address got the mail, or may yet
    by: str = ""  # who says so
    fingerprint: str  # the same for a report that comes twice

    @property
    def final(self) -> bool:
        """The server has given up: the mail is not delivered and will not be, whatever its status begins with."""
        return self.action == "failed" and not self.in_part

    @property
    def verdict(self) -> Verdict:
        """What it means for the channel, by the same policy as an answer while sending."""
        if self.status.startswith("4") or not self.final:
            return Verdict(ErrorKind.TRANSIENT)
        if self.status not in _SAYS_NOTHING:
            return judge(Stage.RCPT, 550, f"{self.status} {self.said}")
        reply = _REPLY.match(self.said)
        return judge(Stage.RCPT, int(reply["code"]), reply["text"]) if reply else Verdict(ErrorKind.PERMANENT)


class _Mail(Message):
    """A mail whose reports the parser leaves whole, because it does not know them."""

    def get_content_type(self) -> str:
        found = super().get_content_type()
        return _REPORT_TEXT if found in _STATUS_PARTS else found


def report_read(mail: bytes) -> tuple[Report, list[str]]:
    """The report, and the addresses that it may have come to. What is no report is one that is `UNCLEAR`."""
    parsed = message_from_bytes(mail, _class=_Mail, policy=policy.compat32)
    text = _text_of(parsed, _REPORT_TEXT)
    blocks = [message_from_string(block) for block in _BLANK_LINES.split(text)]
    told = [block for block in blocks if _action(block)]
    report = _of_blocks(blocks[0], told, text) if told else _unclear(parsed, mail)
    return report, list(_came_to(parsed))


def _of_blocks(of_mail: Message, told: Sequence[Message], text: str) -> Report:
    """A message goes to one address; if an alias or a list behind it names several, what failed is told."""
    worst = next((block for block in told if _action(block) == "failed"), told[0])
    return Report(
        action=_action(worst),
        status=_status(worst),
        said=_typed(worst, "Diagnostic-Code")[:_LONGEST],
        recipient=_typed(worst, "Final-Recipient").strip("<>")[:320],
        in_part=_action(worst) == "failed" and any(_action(block) in _NOT_LOST for block in told),
        by=(_typed(worst, "Remote-MTA") or _typed(of_mail, "Reporting-MTA"))[:255],
        fingerprint=_fingerprint(text.encode()),
    )


def _unclear(parsed: Message, mail: bytes) -> Report:
    """As qmail writes a bounce, in words only; or somebody's answer to the return address. Who can tell?"""
    said = f"{_field(parsed, 'Subject')}\n\n{_text_of(parsed, 'text/plain')}"
    return Report(
        action=UNCLEAR,
        said=said.strip()[:_LONGEST],
        by=_field(parsed, "From")[:255],
        fingerprint=_fingerprint(mail),
    )


def _text_of(parsed: Message, content_type: str) -> str:
    """The first part of this type as text, its lines ended by line feeds; "" for none."""
    for part in parsed.walk():
        if part.get_content_type() == content_type and isinstance(content := part.get_payload(decode=True), bytes):
            return _storable(content.decode("utf-8", "replace")).replace("\r\n", "\n").strip("\n")
    return ""


def _storable(text: str) -> str:
    """What PostgreSQL can keep."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _came_to(parsed: Message) -> Iterator[str]:
    for name in _CAME_TO:
        values = [str(value) for value in parsed.get_all(name, [])]
        yield from (address for _, address in getaddresses(values) if address)


def _action(block: Message) -> str:
    """In small letters; "" for a block that is about no recipient."""
    return next(iter(_field(block, "Action").lower().split()), "")[:16]


def _status(block: Message) -> str:
    found = _STATUS.search(_field(block, "Status"))
    return found[1] if found else ""


def _field(block: Message, name: str) -> str:
    return _storable(" ".join(str(block.get(name, "")).split()))


def _typed(block: Message, name: str) -> str:
    """The value of a field that says its type first: `smtp; 550 …`, `rfc822; ana@moana.example`."""
    kind, mark, value = _field(block, name).partition(";")
    return value.strip() if mark else kind.strip()
