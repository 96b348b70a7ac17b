"""An open SMTP session as a line: for one who does not wait, and serves many.

It knows the answers to a mail that is accepted, and none other: with whatever else is heard the transport goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from alerting.transports.contract import Heard, Outgoing, nothing
from alerting.transports.email.exchange import LOST
from alerting.transports.email.mail import Mail, Standing
from alerting.transports.email.session import Session

# An answer of one line or of several (RFC 5321, section 4.2.1).
_GOOD = rb"(?:2\d\d-[^\n]*\n)*2\d\d(?![\d-])[^\n]*\n"
_DATA_WELCOME = rb"(?:354-[^\n]*\n)*354(?![\d-])[^\n]*\n"
_ACCEPTED = re.compile(_GOOD)
_WANTED = re.compile(_GOOD + _GOOD + _DATA_WELCOME)  # MAIL, RCPT, DATA
_SO_FAR = re.compile(rb"(?:" + _GOOD + rb"){0,2}(?:(?:2\d\d|354)-[^\n]*\n)*[^\n]{0,8192}")


class GoOn(Protocol):
    """What goes on with a mail from where it stands, and waits."""

    def __call__(self, mail: Mail, *, deadline: float, handover: Callable[[], None]) -> str: ...


class MailLine:
    """`told` makes the words of an answer, `go_on` is the transport's."""

    def __init__(self, session: Session, *, mail_from: str, told: Callable[[int, bytes], str], go_on: GoOn) -> None:
        session.wait(False)
        self._session = session
        self._mail_from = mail_from
        self._told = told
        self._go_on = go_on
        self._mail: Mail | None = None

    def fileno(self) -> int:
        assert self._session.sock is not None
        return self._session.sock.fileno()

    def begin(self, outgoing: Outgoing) -> bool:
        self._mail = None
        self._mail = mail = Mail(outgoing, mail_from=self._mail_from)
        envelope = mail.envelope()
        if self._session.say_now(envelope) < len(envelope):
            self._session.close()  # half an envelope cannot be taken back: the mail begins anew on another connection
            return False
        mail.standing = Standing.SAID
        mail.wire()  # while the server thinks
        return True

    def hear(self) -> Heard:
        session, mail = self._session, self._mail
        try:
            session.hear_now()
        except LOST:
            return Heard.ELSE
        if mail is not None and mail.standing is Standing.SAID:
            if _WANTED.fullmatch(session.heard):
                session.forget()
                mail.standing = Standing.WANTED
                return Heard.GO_ON
            return Heard.NOTHING if _SO_FAR.fullmatch(session.heard) else Heard.ELSE
        if mail is not None and mail.standing is Standing.LEAVING:
            if _ACCEPTED.fullmatch(session.heard):
                return Heard.TAKEN
            return Heard.ELSE if b"\n" in session.heard else Heard.NOTHING
        return Heard.ELSE

    def hand_over(self) -> bool:
        mail = self._mail
        assert mail is not None
        mail.standing = Standing.LEAVING
        mail.left = self._session.say_now(mail.wire())
        return mail.left == len(mail.wire())

    def taken(self) -> str:
        assert self._mail is not None
        self._mail.standing = Standing.TAKEN  # whatever fails now, it must not leave again
        self._mail.answer = self._told(*self._session.getreply())
        return self._mail.answer

    def finish(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        mail = self._mail or Mail(outgoing, mail_from=self._mail_from)
        if mail.standing is Standing.TAKEN:
            return mail.answer
        return self._go_on(mail, deadline=deadline, handover=handover)
