"""An open SMTP session as a line: for one who does not wait, and serves many.

It knows the answers to a mail that is accepted, and none other: with whatever else is heard the transport goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from alerting.transports.contract import Heard, Outgoing, TransportError, nothing
from alerting.transports.email.early import EarlyEnvelopes, Order, of_hello
from alerting.transports.email.exchange import LOST
from alerting.transports.email.mail import Mail, Standing
from alerting.transports.email.session import Session

# An answer of one line or of several (RFC 5321, section 4.2.1).
_GOOD = rb"(?:2\d\d-[^\n]*\n)*2\d\d(?![\d-])[^\n]*\n"
_DATA_WELCOME = rb"(?:354-[^\n]*\n)*354(?![\d-])[^\n]*\n"
_BEGINNING = rb"(?:(?:2\d\d|354)-[^\n]*\n)*[^\n]{0,8192}"
_ACCEPTED = re.compile(_GOOD)
_REFUSED = re.compile(rb"^[45]", re.MULTILINE)
_WANTED = re.compile(_GOOD + _GOOD + _DATA_WELCOME)  # MAIL, RCPT, DATA
_SO_FAR = re.compile(rb"(?:" + _GOOD + rb"){0,2}" + _BEGINNING)
# Of a content and the envelope behind it.
_ACCEPTED_AND_WANTED = re.compile(_GOOD + _GOOD + _GOOD + _DATA_WELCOME)
_BOTH_SO_FAR = re.compile(rb"(?:" + _GOOD + rb"|" + _DATA_WELCOME + rb"){0,3}" + _BEGINNING)
# Of a content and the EHLO behind it.
_TWO = re.compile(rb"(" + _GOOD + rb")(" + _GOOD + rb")")
_TWO_SO_FAR = re.compile(rb"(?:" + _GOOD + rb")?" + _BEGINNING)


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
        self._next: Mail | None = None  # it was announced behind that one
        self._lost = False

    def fileno(self) -> int:
        assert self._session.sock is not None
        return self._session.sock.fileno()

    def begin(self, outgoing: Outgoing) -> bool:
        mail = Mail(outgoing, mail_from=self._mail_from)
        envelope = mail.envelope()
        if self._session.under_way is not None:
            self._session.close()  # the server would take this one for what it expects of another
            return False
        self._mail = self._session.under_way = mail
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
        return self._early.may_leave

    def announce_early(self, outgoing: Outgoing) -> bool:
        assert self._mail is not None
        if self._early.order is Order.UNKNOWN:
            self._mail.behind = f"EHLO {self._session.local_hostname}\r\n".encode()
            return False
        try:
            mail = Mail(outgoing, mail_from=self._mail_from)
            envelope = mail.envelope()
        except (TransportError, ValueError):  # whoever begins with it says so
            return False
        self._mail.behind, self._mail.order, self._next = envelope, self._early.order, mail
        return True

    def hand_over(self) -> bool:
        mail = self._mail
        assert mail is not None
        leaving = mail.leaving()
        mail.standing = Standing.LEAVING
        if mail.tries:
            self._early.trial_begins()
        mail.gone = self._session.say_now(leaving)
        if mail.gone < len(leaving):
            return False
        if self._next is not None:
            with suppress(Exception):  # it is made again when it is to leave, and then says what is wrong with it
                self._next.wire()  # while the server thinks
        return True

    def taken(self) -> str:
        mail = self._mail
        assert mail is not None
        mail.standing = Standing.TAKEN  # whatever fails now, it must not leave again
        mail.answer = self._told(*self._session.getreply())
        if not mail.behind:
            self._session.under_way = None
        return mail.answer

    def follow(self) -> Heard:
        assert self._next is not None
        self._mail, self._next = self._next, None
        self._mail.came_early, self._mail.standing = True, Standing.SAID
        self._session.under_way = self._mail
        return self._understood()

    def give_up(self) -> None:
        if self._session.under_way is not None:
            self._session.close()  # what the server expects next cannot be taken back

    def finish(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        mail = self._mail
        if mail is None or mail.outgoing is not outgoing:
            mail = Mail(outgoing, mail_from=self._mail_from)
        if mail.standing is Standing.TAKEN:
            self.give_up()
            return mail.answer
        if mail.behind and self._nothing_is_behind(mail):
            mail.behind = b""
        if mail.behind and not (_REFUSED.search(self._session.heard) or (self._lost and not mail.tries)):
            self._early.pause()
        if mail.came_early and mail.standing is Standing.SAID and not (self._session.heard or self._lost):
            self._early.pause()
            self._session.close()  # it begins anew on another connection
        return self._go_on(mail, deadline=deadline, handover=handover)

    def _nothing_is_behind(self, mail: Mail) -> bool:
        """What was to leave behind it has not, and need not any more. TLS does not say how much of it has."""
        if mail.standing is not Standing.LEAVING:
            return True
        return mail.gone <= len(mail.wire()) and not self._session.encrypted

    def _understood(self) -> Heard:
        mail = self._mail
        if mail is not None and mail.standing is Standing.SAID:
            return self._of_envelope(mail)
        if mail is None or mail.standing is not Standing.LEAVING:
            return Heard.ELSE
        if not mail.behind:
            return self._of_content()
        return self._of_trial(mail) if mail.tries else self._of_both(mail)

    def _of_envelope(self, mail: Mail) -> Heard:
        session = self._session
        if _WANTED.fullmatch(session.heard):
            session.heard = b""
            mail.standing = Standing.WANTED
            return Heard.GO_ON
        return self._more_to_come(_SO_FAR)

    def _of_content(self) -> Heard:
        heard = self._session.heard
        if _ACCEPTED.fullmatch(heard):
            return Heard.TAKEN
        return Heard.ELSE if b"\n" in heard else Heard.NOTHING

    def _of_both(self, mail: Mail) -> Heard:
        """Of a content and the envelope behind it."""
        session, heard = self._session, self._session.heard
        if mail.order is Order.KEPT:
            if _ACCEPTED.match(heard):
                return Heard.TAKEN
        elif _ACCEPTED_AND_WANTED.fullmatch(heard):
            return Heard.TAKEN
        elif (envelope := _WANTED.match(heard)) and _ACCEPTED.fullmatch(heard, envelope.end()):
            session.heard = heard[envelope.end() :] + envelope[0]
            return Heard.TAKEN
        return self._more_to_come(_BOTH_SO_FAR)

    def _of_trial(self, mail: Mail) -> Heard:
        """Of a content and the EHLO behind it. What is heard of that one is read with this."""
        both = _TWO.fullmatch(self._session.heard)
        if both is None:
            return self._more_to_come(_TWO_SO_FAR)
        kept = of_hello(both[2])
        if kept is of_hello(both[1]):
            return Heard.ELSE
        self._early.answered(Order.KEPT if kept else Order.BROKEN)
        self._session.heard = both[1] if kept else both[2]
        mail.behind = b""
        return Heard.TAKEN

    def _more_to_come(self, good: re.Pattern[bytes]) -> Heard:
        """Whether all is good so far."""
        if not good.fullmatch(self._session.heard):
            return Heard.ELSE
        self._session.acknowledge()
        return Heard.NOTHING
