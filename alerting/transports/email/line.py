"""An open SMTP session as a line: for one who does not wait, and serves many.

It knows the answers to a mail that is accepted, and none other: with whatever else is heard the transport goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from alerting.models import ErrorKind
from alerting.transports.contract import Heard, Outgoing, TransportError, nothing
from alerting.transports.email.early import EarlyEnvelopes, Order
from alerting.transports.email.exchange import LOST
from alerting.transports.email.mail import Mail, Standing
from alerting.transports.email.session import Session

# An answer of one line or of several (RFC 5321, section 4.2.1).
_GOOD = rb"(?:2\d\d-[^\n]*\n)*2\d\d(?![\d-])[^\n]*\n"
_DATA_WELCOME = rb"(?:354-[^\n]*\n)*354(?![\d-])[^\n]*\n"
_BEGINNING = rb"(?:(?:2\d\d|354)-[^\n]*\n)*[^\n]{0,8192}"
_ACCEPTED = re.compile(_GOOD)
_WANTED = re.compile(_GOOD + _GOOD + _DATA_WELCOME)  # MAIL, RCPT, DATA
_SO_FAR = re.compile(rb"(?:" + _GOOD + rb"){0,2}" + _BEGINNING)
# Of a content and the envelope behind it.
_ACCEPTED_AND_WANTED = re.compile(_GOOD + _GOOD + _GOOD + _DATA_WELCOME)
_BOTH_SO_FAR = re.compile(rb"(?:" + _GOOD + rb"|" + _DATA_WELCOME + rb"){0,3}" + _BEGINNING)


class GoOn(Protocol):
    """What goes on with a mail from where it stands, and waits."""

    def __call__(self, mail: Mail, *, deadline: float, handover: Callable[[], None]) -> str: ...


class MailLine:
    """`early`: what is known of the server; `told` makes the words of an answer; `go_on` is the transport's."""

    def __init__(
        self,
        session: Session,
        *,
        mail_from: str,
        early: EarlyEnvelopes,
        told: Callable[[int, bytes], str],
        go_on: GoOn,
    ) -> None:
        session.wait(False)
        self._session = session
        self._mail_from = mail_from
        self._early = early
        self._told = told
        self._go_on = go_on
        self._mail: Mail | None = None
        self._behind: Mail | None = None
        self._lost = False

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
        try:
            self._session.hear_now()
        except LOST:
            self._lost = True
            return Heard.ELSE
        return self._understood()

    @property
    def takes_early(self) -> bool:
        return self._early.welcome

    def announce_early(self, outgoing: Outgoing) -> bool:
        assert self._mail is not None
        try:
            mail = Mail(outgoing, mail_from=self._mail_from)
            self._mail.behind = mail.envelope()
        except (TransportError, ValueError):  # whoever begins with it says so
            return False
        self._behind = mail
        self._early.leaves()
        return True

    def hand_over(self) -> bool:
        mail = self._mail
        assert mail is not None
        leaving = mail.leaving()
        mail.standing = Standing.LEAVING
        mail.left = self._session.say_now(leaving)
        if mail.left < len(leaving):
            return False
        if self._behind is not None:
            with suppress(Exception):  # it is made again when it is to leave, and then says what is wrong with it
                self._behind.wire()  # while the server thinks
        return True

    def taken(self) -> str:
        assert self._mail is not None
        self._mail.standing = Standing.TAKEN  # whatever fails now, it must not leave again
        self._mail.answer = self._told(*self._session.getreply())
        return self._mail.answer

    def follow(self) -> Heard:
        assert self._behind is not None
        self._mail, self._behind = self._behind, None
        self._mail.early, self._mail.standing = True, Standing.SAID
        return self._understood()

    def give_up(self) -> None:
        mail = self._mail
        if mail is not None and (mail.behind or mail.standing in (Standing.SAID, Standing.WANTED)):
            self._session.close()  # what the server expects next cannot be taken back

    def finish(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        mail = self._mail or Mail(outgoing, mail_from=self._mail_from)
        if mail.standing is Standing.TAKEN:
            self.give_up()
            return mail.answer
        if mail.behind and mail.standing is Standing.LEAVING:
            self._early.troubled()
            self._answer_is_known()
        elif mail.early and mail.standing is Standing.SAID and not (self._session.heard or self._lost):
            self._early.unanswered()
            self._session.close()
        return self._go_on(mail, deadline=deadline, handover=handover)

    def _answer_is_known(self) -> None:
        """Whether what the server says first is its answer to the content; else raises."""
        if self._early.order is Order.BROKEN:
            self._session.close()
            raise TransportError(
                "Which of its answers the server meant for this message cannot be known: it may have arrived.",
                kind=ErrorKind.TRANSIENT,
                answer=self._session.heard.decode("utf-8", errors="replace"),
                unknown=True,
            )

    def _understood(self) -> Heard:
        standing = None if self._mail is None else self._mail.standing
        if standing is Standing.SAID:
            return self._of_envelope()
        if standing is Standing.LEAVING:
            return self._of_content() if self._behind is None else self._of_both()
        return Heard.ELSE

    def _of_envelope(self) -> Heard:
        session = self._session
        if _WANTED.fullmatch(session.heard):
            session.forget()
            assert self._mail is not None
            self._mail.standing = Standing.WANTED
            return Heard.GO_ON
        if not _SO_FAR.fullmatch(session.heard):
            return Heard.ELSE
        session.acknowledge()
        return Heard.NOTHING

    def _of_content(self) -> Heard:
        heard = self._session.heard
        if _ACCEPTED.fullmatch(heard):
            return Heard.TAKEN
        return Heard.ELSE if b"\n" in heard else Heard.NOTHING

    def _of_both(self) -> Heard:
        """Of a content and the envelope behind it."""
        session, early = self._session, self._early
        heard = session.heard
        if early.order is Order.KEPT and _ACCEPTED.match(heard):
            return Heard.TAKEN
        if _ACCEPTED_AND_WANTED.fullmatch(heard):
            early.answered(Order.KEPT)
            return Heard.TAKEN
        if envelope := _WANTED.match(heard):
            early.answered(Order.BROKEN)
            if _ACCEPTED.fullmatch(heard, envelope.end()):
                session.put_first(envelope.end())
                return Heard.TAKEN
        if not _BOTH_SO_FAR.fullmatch(heard):
            return Heard.ELSE
        session.acknowledge()
        return Heard.NOTHING
