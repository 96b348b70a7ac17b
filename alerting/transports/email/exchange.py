"""One mail over an open SMTP session: the envelope, the content, the answers (RFC 5321, section 3.3).

Where the server offers PIPELINING (RFC 2920) the envelope is one round trip instead of three.
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from typing import NamedTuple

from alerting.transports.contract import nothing
from alerting.transports.email.policy import Stage

# What a lost connection raises; a UnicodeError is an address that cannot be said in ASCII.
LOST = (OSError, smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException)

CLOSING = 421  # the server says goodbye: nothing more comes
WANTED = 354  # it waits for the content


class Answer(NamedTuple):
    """What the server said to one command."""

    stage: Stage
    code: int
    text: bytes

    @property
    def accepted(self) -> bool:
        return 200 <= self.code < 300


def envelope(
    session: smtplib.SMTP, sender: str, recipient: str, *, said: bool = False, meanwhile: Callable[[], None] = nothing
) -> Answer | None:
    """MAIL, RCPT and DATA. Returns the answer that refuses the mail, or None when the server waits for its content.

    `said`: they were sent already, in one piece. `meanwhile` is called while the answers are on their way. Raises one
    of `LOST`, and what `meanwhile` does.
    """
    if not said and not session.has_extn("pipelining"):
        refused = _one_by_one(session, sender, recipient)
        meanwhile()
        return refused
    if not said:
        session.send(in_one_piece(sender, recipient))
    meanwhile()
    return _refusal(session)


def in_one_piece(sender: str, recipient: str) -> str:
    """The envelope for a server that offers PIPELINING."""
    return f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"


def _refusal(session: smtplib.SMTP) -> Answer | None:
    """From the answers to commands that were sent in one piece."""
    refused: Answer | None = None
    for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA):
        answer = _in_step(Answer(stage, *session.getreply()))
        if answer.code == CLOSING:
            return refused or answer
        if refused is None and answer.code >= 400:
            refused = answer
        elif refused is not None and answer.code == WANTED:
            # the server takes content for nobody: an empty one, which it has to refuse
            session.send(b".\r\n")
            session.getreply()
    return refused


def _in_step(answer: Answer) -> Answer:
    """Raises one of `LOST` for what no server says to this command: it answers another one, and so on from there."""
    expected = answer.code == WANTED if answer.stage is Stage.DATA else answer.accepted
    if not (expected or answer.code >= 400):
        raise smtplib.SMTPResponseException(answer.code, answer.text)
    return answer


def _one_by_one(session: smtplib.SMTP, sender: str, recipient: str) -> Answer | None:
    commands = {Stage.MAIL: f"MAIL FROM:<{sender}>", Stage.RCPT: f"RCPT TO:<{recipient}>", Stage.DATA: "DATA"}
    for stage, command in commands.items():
        answer = _in_step(Answer(stage, *session.docmd(command)))
        if answer.code >= 400:
            return answer
    return None


def content(session: smtplib.SMTP, wire: bytes) -> Answer:
    """All of the mail, as `on_the_wire` makes it, or what has not left of it. Raises one of `LOST`: then nobody knows
    whether it was taken."""
    if wire:
        session.send(wire)
    return Answer(Stage.DATA, *session.getreply())


def content_among_others(session: smtplib.SMTP, wire: bytes) -> Answer | None:
    """The same where the envelope of the next mail left behind it, and the server answers in an order of its own. None
    where not all is good: what is refused then is not known. Raises one of `LOST`."""
    answers = [content(session, wire), *(Answer(Stage.DATA, *session.getreply()) for _ in range(3))]
    wanted = [answer.code for answer in answers].count(WANTED)
    if wanted != 1 or sum(answer.accepted for answer in answers) != 3:
        return None
    return answers[0] if answers[3].code == WANTED else answers[3]


def on_the_wire(mail: bytes) -> bytes:
    """The mail with its dots stuffed and its end marked (RFC 5321, sections 4.5.2 and 4.1.1.4)."""
    stuffed = mail.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")
