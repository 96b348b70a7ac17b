"""What an SMTP answer asks for: one pure function.

Codes are of RFC 5321, section 4.2, enhanced codes of RFC 3463 and its registry (IANA, SMTP Enhanced Status Codes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from alerting.models import ErrorKind

# First in a line; or, as qmail writes it, in brackets behind the words: (#5.1.1).
_ENHANCED = re.compile(r"(?:^\s*|\(#)([245])\.(\d{1,3})\.(\d{1,3})\b", re.MULTILINE)

# The server wants a sign-in, or one by another mechanism: RFC 4954 and the registry's 5.7.x.
_AUTH_CODES = frozenset({530, 534, 535, 538})
_AUTH_ENHANCED = frozenset({"7.8", "7.9", "7.10", "7.11"})
# Bad destination: mailbox, system or syntax; moved; null MX; mailbox disabled.
_NO_SUCH_ADDRESS = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"})
# What passes though the server has given up: a full mailbox, too many messages for it in an hour (Exchange Online), a
# full disk, congestion, a time that ran out.
_PASSES = frozenset({"2.2", "2.121", "2.122", "3.1", "4.5", "4.7"})
# The same in words: greylists, limits of a server, and a mailbox that is "receiving mail at a rate that …" (Gmail) or
# "too quickly" (Yahoo). They outrank codes: Gmail says 5.2.1, as of a closed mailbox, others 5.1.1. Somebody who is
# asked to check an address "and try again" is not asked to wait.
_PASSES_WORDS = re.compile(
    r"""gr[ea]y[\ -]?list | \brate[\ -]?(limit|exceeded) | throttl
      | \bat\ a\ rate\b | too\ (quickly|fast) | (try|come\ back)(\ again)?\ (later|in)\b""",
    re.IGNORECASE | re.VERBOSE,
)
# Exchange Online's 5.7.x about who sends: banned sender, HELO, limit, DMARC, IPv6, address or tenant. Between them are
# some about the recipient. Source: Microsoft, "Email non-delivery reports and SMTP errors in Exchange Online".
_EXCHANGE_ABOUT_THE_SENDER = (232, 233, 501, 502, 503, 506, *range(508, 512), 513, *range(606, 650), *range(700, 751))
# The sender: its address or system, or how much it sends; SPF, DKIM, DMARC, reverse DNS (RFC 7372, RFC 7505).
_ABOUT_THE_SENDER = frozenset(
    {"1.7", "1.8", "1.90", *(f"7.{detail}" for detail in (*range(20, 30), *_EXCHANGE_ABOUT_THE_SENDER))}
)
# The same in words, for the many servers that say 5.7.1 or nothing. Postfix keeps until RCPT what it finds wrong with
# sender or client, Exim and qmail give no enhanced codes: all would look as if the recipient were refused. The last
# lines are Gmail's and Microsoft's for a banned address, Amazon SES's for an account, cPanel's for a domain.
_ABOUT_THE_SENDER_WORDS = re.compile(
    r"""relay(ing)?\b.{0,30}(denied|prohibited|not\ (permitted|allowed))
      | ((unable|not\ (permitted|allowed))\ to|do\ not|cannot|won't)\ relay
      | sender\ (address\ )?(rejected|verif|not\ (allowed|authori[sz]ed|permitted)|denied)
      | not\ owned\ by\ user | to\ send\ as\ (this|that|another)\ (user|sender) | rcpthosts
      | (client\ host|helo\ command)\ rejected
      | block\ ?list | black\ ?list | spamhaus | \b(dnsb|rb)l\b | blocked\ using | reputation
      | \b(spf|dkim|dmarc)\b | reverse\ dns | \bptr\b | authenticat
      | (sending|daily|hourly|message)\ (user\ )?(sending\ )?(limit|quota)
      | too\ many\ (messages|mails|(invalid|unknown|bad)\ recipients)
      | banned\ send(er|ing) | from\ (this|your)\ (ip|network|host|domain)\b
      | address\ is\ not\ verified | sending\ (is\ )?(paused|suspended|disabled) | exceeded\ the\ max\b""",
    re.IGNORECASE | re.VERBOSE,
)
# Without an enhanced code these answers to RCPT mean that the mailbox does not exist (556: RFC 7504) …
_NO_MAILBOX_CODES = frozenset({550, 551, 553, 556})
# … unless the words speak of rules: RFC 5321 has 550 for both.
_RULES_WORDS = re.compile(r"spam|polic|prohibit|denied|blocked|banned|virus|content|unsolicited", re.IGNORECASE)
_FULL_WORDS = re.compile(
    r"quota|(mailbox|account|inbox|storage).{0,20}\bfull|insufficient (system )?(disk|space|storage)", re.IGNORECASE
)
_SIZE_WORDS = re.compile(r"\bsize\b|too (big|large|long)|maximum", re.IGNORECASE)
# Left out of what is read: greylist@… says nothing of greylists. 64 is the most before the @ (RFC 5321, 4.5.3.1.1).
_ADDRESS = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]+")


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


# This message is tried again, and in the end fails; its channel is not to blame.
WAIT = Verdict(ErrorKind.TRANSIENT)
WAIT_ALL = Verdict(ErrorKind.TRANSIENT, whole_kind=True)
# The same, and somebody has to mend something. Not for all: one answer does not tell whom it is about, and a server
# that relays to some only must not stop what it would take.
MEND_FOR_THIS = Verdict(ErrorKind.CONFIGURATION)
MEND_SETTINGS = Verdict(ErrorKind.CONFIGURATION, whole_kind=True)
GIVE_UP = Verdict(ErrorKind.PERMANENT)
BOUNCE = Verdict(ErrorKind.PERMANENT, bounced=True)


def judge(stage: Stage, code: int, text: str) -> Verdict:
    """What an answer that is not a success asks for.

    `code` is 0 or below where the server said something that is no answer; then it is waited for. Of several lines the
    first enhanced code counts. Where its first digit is not that of the code, the milder of the two holds.
    """
    before_a_message = stage in (Stage.CONNECT, Stage.HELLO, Stage.STARTTLS, Stage.AUTH)
    for_good = 500 <= code < 600
    found = _ENHANCED.search(text)
    detail = f"{found[2]}.{found[3]}" if found else ""
    if code in _AUTH_CODES or (for_good and detail in _AUTH_ENHANCED):
        # behind MAIL it may be the relay of this one recipient that wants a sign-in
        return MEND_FOR_THIS if stage in (Stage.RCPT, Stage.DATA) else MEND_SETTINGS
    if not for_good:
        return WAIT_ALL if before_a_message else WAIT
    if before_a_message:
        return MEND_SETTINGS
    if stage is Stage.MAIL:
        # A refused sender is refused for everybody, unless it is the size that MAIL announced.
        return GIVE_UP if code == 552 or detail == "3.4" else MEND_SETTINGS
    if found and found[1] == "4":
        return WAIT
    return _for_good(stage, code, detail, text)


def _for_good(stage: Stage, code: int, detail: str, text: str) -> Verdict:
    """5xx to RCPT, to DATA or to the content: whose fault is it? Where code and words disagree, not the reader's."""
    words = _ADDRESS.sub("", text)
    if detail in _ABOUT_THE_SENDER or _ABOUT_THE_SENDER_WORDS.search(words):
        return MEND_FOR_THIS
    if detail in _PASSES or _PASSES_WORDS.search(words) or (not detail and _full(code, words)):
        return WAIT
    if detail in _NO_SUCH_ADDRESS:
        return BOUNCE
    unknown = stage is Stage.RCPT and not detail and code in _NO_MAILBOX_CODES and not _RULES_WORDS.search(words)
    return BOUNCE if unknown else GIVE_UP


def _full(code: int, text: str) -> bool:
    """A full mailbox, told without an enhanced code. 552 is also said of a mail that is too big."""
    return bool(_FULL_WORDS.search(text)) or (code == 552 and not _SIZE_WORDS.search(text))
