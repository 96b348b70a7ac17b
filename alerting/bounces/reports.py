"""What a mail server says of a mail that it had accepted. Pure; the formats are of RFC 3464 and RFC 3461."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import Message
from email.utils import getaddresses

from alerting.models import ErrorKind
from alerting.transports.email.policy import Stage, Verdict, judge

_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_REPLY = re.compile(r"^(?P<code>[245]\d\d)[ -](?P<text>.*)", re.DOTALL)
_STATUS_PARTS = ("message/delivery-status", "message/global-delivery-status")
# Where the address that a report came to may stand: what the last server notes, then what the sender wrote.
_CAME_TO = ("X-Original-To", "Delivered-To", "Envelope-To", "To")
_SAYS_NOTHING = ("", "5.0.0", "4.0.0")
_LONGEST = 2000


class NotAReport(ValueError):
    """The mail is no delivery status notification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of one mail, in the words of the server that carried it."""

    action: str  # failed, delayed, delivered, relayed or expanded
    status: str = ""  # such as 5.1.1
    said: str = ""
    recipient: str = ""
    by: str = ""  # who says so
    fingerprint: str  # the same for a report that comes twice

    @property
    def final(self) -> bool:
        """The server has given up: the mail is not delivered and will not be, whatever its status begins with."""
        return self.action == "failed"

    @property
    def verdict(self) -> Verdict:
        """What it means for the channel, by the same policy as an answer while sending."""
        if self.status.startswith("4") or not self.final:
            return Verdict(ErrorKind.TRANSIENT)
        if self.status not in _SAYS_NOTHING:
            return judge(Stage.RCPT, 550, f"{self.status} {self.said}")
        reply = _REPLY.match(self.said)
        return judge(Stage.RCPT, int(reply["code"]), reply["text"]) if reply else Verdict(ErrorKind.PERMANENT)


def report_read(mail: bytes) -> tuple[Report, list[str]]:
    """The report, and the addresses that it may have come to. Raises `NotAReport`."""
    parsed = message_from_bytes(mail, policy=policy.compat32)
    blocks = _blocks(parsed)
    told = [block for block in blocks if block.get("Action")]
    if not told:
        raise NotAReport("the mail is no delivery status notification (RFC 3464)")
    # a message goes to one address; if a list behind it names several, what failed counts
    worst = next((block for block in told if _field(block, "Action").lower() == "failed"), told[0])
    report = Report(
        action=_field(worst, "Action").lower().split()[0][:16],
        status=_status(worst),
        said=_typed(worst, "Diagnostic-Code")[:_LONGEST],
        recipient=(_typed(worst, "Final-Recipient") or _typed(worst, "Original-Recipient"))[:320],
        by=(_typed(worst, "Remote-MTA") or _typed(blocks[0], "Reporting-MTA"))[:255],
        fingerprint=hashlib.sha256("\n".join(str(block) for block in blocks).encode("utf-8", "replace")).hexdigest(),
    )
    return report, list(_came_to(parsed))


def _blocks(parsed: Message) -> list[Message]:
    """The groups of fields: of the mail, then of each recipient."""
    for part in parsed.walk():
        if part.get_content_type() in _STATUS_PARTS:
            payload = part.get_payload()
            return [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []
    return []


def _came_to(parsed: Message) -> Iterator[str]:
    for name in _CAME_TO:
        values = [str(value) for value in parsed.get_all(name, [])]
        yield from (address for _, address in getaddresses(values) if address)


def _status(block: Message) -> str:
    found = _STATUS.search(_field(block, "Status"))
    return found[1] if found else ""


def _field(block: Message, name: str) -> str:
    return " ".join(str(block.get(name, "")).split())


def _typed(block: Message, name: str) -> str:
    """The value of a field that says its type first: `smtp; 550 …`, `rfc822; ana@moana.example`."""
    kind, mark, value = _field(block, name).partition(";")
    return value.strip() if mark else kind.strip()
