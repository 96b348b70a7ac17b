"""What an SMTP answer asks for: one pure function.

Codes are of RFC 5321, section 4.2, enhanced codes of RFC 3463 and its registry (IANA, SMTP Enhanced Status Codes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from alerting.models import ErrorKind

_ENHANCED = re.compile(r"^\s*([245])\.(\d{1,3})\.(\d{1,3})\b")

# The server wants a sign-in, or one by another mechanism: RFC 4954 and the registry's 5.7.x.
_AUTH_CODES = frozenset({530, 534, 535, 538})
_AUTH_ENHANCED = frozenset({"7.8", "7.9", "7.10", "7.11"})
# Bad destination: mailbox, system or syntax; moved; null MX; mailbox disabled.
_NO_SUCH_ADDRESS = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"})
# A full mailbox is emptied again one day: wait, whatever the first digit says.
_MAILBOX_FULL = "2.2"
# Without an enhanced code these answers to RCPT mean that the mailbox does not exist.
_NO_MAILBOX_CODES = frozenset({550, 551, 553})


class Stage(StrEnum):
    """Which command the server answered."""

    CONNECT = "connect"
    HELLO = "hello"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about an answer. The flags are those of `TransportError`."""

    kind: ErrorKind
    whole_kind: bool = False
    bounced: bool = False


WAIT = Verdict(ErrorKind.TRANSIENT)
WAIT_ALL = Verdict(ErrorKind.TRANSIENT, whole_kind=True)
MEND_SETTINGS = Verdict(ErrorKind.CONFIGURATION, whole_kind=True)
GIVE_UP = Verdict(ErrorKind.PERMANENT)
BOUNCE = Verdict(ErrorKind.PERMANENT, bounced=True)


def judge(stage: Stage, code: int, text: str) -> Verdict:
    """What an answer that is not a success asks for.

    `code` is 0 or below where the server said something that is no answer; then it is waited for.
    """
    before_a_message = stage in (Stage.CONNECT, Stage.HELLO, Stage.STARTTLS, Stage.AUTH)
    found = _ENHANCED.match(text)
    detail = f"{found[2]}.{found[3]}" if found else ""
    if code in _AUTH_CODES or (500 <= code < 600 and detail in _AUTH_ENHANCED):
        return MEND_SETTINGS
    if not 500 <= code < 600:
        return WAIT_ALL if before_a_message else WAIT
    if before_a_message or stage is Stage.MAIL:
        # A refused sender is refused for everybody, unless it is the size that MAIL announced.
        return GIVE_UP if code == 552 or detail == "3.4" else MEND_SETTINGS
    if detail == _MAILBOX_FULL or (code == 552 and not detail and stage is Stage.RCPT):
        return WAIT
    if detail in _NO_SUCH_ADDRESS:
        return BOUNCE
    return BOUNCE if stage is Stage.RCPT and not detail and code in _NO_MAILBOX_CODES else GIVE_UP
