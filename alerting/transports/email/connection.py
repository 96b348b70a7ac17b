"""One SMTP connection, kept open for the mails of a send cycle."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings

from alerting.models import ErrorKind
from alerting.transports.contract import LineTransport, Outgoing, TransportError, nothing
from alerting.transports.email import exchange
from alerting.transports.email.early import Order, early_envelopes, of_hello
from alerting.transports.email.exchange import CLOSING, LOST
from alerting.transports.email.line import MailLine
from alerting.transports.email.mail import Mail, Standing
from alerting.transports.email.policy import Stage, judge
from alerting.transports.email.session import Session
from alerting.transports.watchdog import Watchdog

_LONGEST_ANSWER = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """The mail server, and how it is spoken to."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    tls: str = "none"  # none | starttls | implicit
    timeout: float = 20.0
    mail_from: str = "Watchkeeper <watchkeeper@localhost>"


def smtp_settings() -> SmtpSettings:
    """Those of the environment."""
    return SmtpSettings(
        host=settings.SMTP_HOST,
        port=settings.SMTP_PORT,
        user=settings.SMTP_USER,
        password=settings.SMTP_PASSWORD,
        tls=settings.SMTP_TLS,
        timeout=settings.SMTP_TIMEOUT,
        mail_from=settings.MAIL_FROM,
    )


class EmailTransport(LineTransport):
    """Sends mails over one connection, which it opens when needed and again when it was lost."""

    def __init__(
        self, to: SmtpSettings, *, tls_context: Callable[[], ssl.SSLContext] = ssl.create_default_context
    ) -> None:
        self._to = to
        self._tls_context = tls_context
        self._session: Session | None = None
        self._watchdog: Watchdog | None = None

    def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        """The server's answer to the message. Raises `TransportError`."""
        return self._go_on(Mail(outgoing, mail_from=self._to.mail_from), deadline=deadline, handover=handover)

    def open(self, *, deadline: float) -> None:
        with self._watched(deadline):
            self._connected(deadline)

    def line(self) -> MailLine | None:
        session = self._session
        if session is None or session.sock is None or session.under_way or not session.has_extn("pipelining"):
            return None
        early = early_envelopes(self._to.host, self._to.port)
        return MailLine(session, mail_from=self._to.mail_from, early=early, told=_told, go_on=self._go_on)

    def _go_on(self, mail: Mail, *, deadline: float, handover: Callable[[], None]) -> str:
        """With a mail from where it stands."""

        def meanwhile() -> None:
            """While the server thinks about the envelope. Whatever fails here, nothing of the mail has left."""
            mail.wire()
            handover()

        if self._session is not None and self._session.under_way not in (None, mail):
            self._drop()  # what the server expects next is another mail's
        with self._watched(deadline):
            try:
                answer = self._hand_over(self._wanting(mail, deadline, meanwhile), mail)
            except TransportError:  # a refusal; none comes from `meanwhile`, for both addresses are good
                self._reset(mail)
                raise
            except Exception:
                self._drop()  # nothing else leaves the state after DATA without a mail
                raise
            self._finished(mail)
            return answer

    def close(self) -> None:
        """Say goodbye if there is somebody, and let go."""
        session, self._session = self._session, None
        if session is not None and session.sock is not None:
            try:
                session.sock.settimeout(2)
                if session.under_way is None:
                    session.quit()
                else:  # the server takes what is said for something else
                    session.close()
            except (OSError, smtplib.SMTPException):
                session.close()
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None

    def _watched(self, deadline: float) -> Watchdog:
        if self._watchdog is None:
            self._watchdog = Watchdog(self._on_the_wire)
        return self._watchdog.until(deadline)

    def _on_the_wire(self) -> socket.socket | None:
        session = self._session
        return None if session is None else session.on_the_wire

    def _connected(self, deadline: float) -> Session:
        if self._session is not None:
            if self._session.sock is not None:
                return self._session
            self._session = None
        implicit = self._tls_context() if self._to.tls == "implicit" else None
        self._session = session = Session(self._to.host, timeout=self._to.timeout, deadline=deadline, tls=implicit)
        try:
            self._open(session)
        except TransportError:
            self._drop()
            raise
        except (smtplib.SMTPException, OSError, UnicodeError) as fault:
            self._drop()
            raise _no_connection(fault, self._to, deadline_passed=self._late()) from fault
        except Exception:  # half open is not open
            self._drop()
            raise
        return session

    def _open(self, session: Session) -> None:
        _expect(Stage.CONNECT, *session.connect(self._to.host, self._to.port))
        session.ehlo_or_helo_if_needed()
        if self._to.tls == "starttls":
            if not session.has_extn("starttls"):
                raise TransportError(
                    f"The mail server {self._to.host}:{self._to.port} offers no STARTTLS.",
                    kind=ErrorKind.CONFIGURATION,
                    whole_kind=True,
                )
            _expect(Stage.STARTTLS, *session.secure(self._tls_context()))
            session.ehlo_or_helo_if_needed()
        if self._to.user:
            session.login(self._to.user, self._to.password)
        session.opened()

    def _wanting(self, mail: Mail, deadline: float, meanwhile: Callable[[], None]) -> Session:
        """A session whose server waits for the content, or for the rest of it, after `meanwhile`."""
        session = self._session
        if session is not None:
            session.wait(True)
        if session is None or mail.standing in (Standing.NEW, Standing.SAID):
            return self._begun(mail, deadline, meanwhile)
        if mail.standing is Standing.WANTED:
            meanwhile()
        return session

    def _begun(self, mail: Mail, deadline: float, meanwhile: Callable[[], None]) -> Session:
        """From the envelope on.

        A connection that was open may be gone by now, or have had its number of mails: nothing was handed over, so that
        costs a new connection and no attempt.
        """
        before = self._session
        kept = before is not None
        session, refusal = self._connected(deadline), None
        session.wait(True)
        said, mail.standing = mail.standing is Standing.SAID and session is before, Standing.NEW
        try:
            session.under_way = mail
            refusal = exchange.envelope(session, mail.sender, mail.recipient, said=said, meanwhile=meanwhile)
        except LOST as fault:
            lost = self._lost(fault, unknown=False)
            if not kept or self._late():
                raise lost from fault
        else:
            if refusal is None:
                return session
            if not (kept and refusal.code == CLOSING) and not (said and self._came_too_early(mail, refusal)):
                raise _refused(refusal.stage, refusal.code, refusal.text)
        self._drop()
        return self._begun(mail, deadline, meanwhile)

    def _came_too_early(self, mail: Mail, refusal: exchange.Answer) -> bool:
        """The server may have refused where the envelope came, and not the sender: it is asked again."""
        if not mail.came_early or refusal.stage is not Stage.MAIL:
            return False
        early_envelopes(self._to.host, self._to.port).pause()
        return True

    def _hand_over(self, session: Session, mail: Mail) -> str:
        try:
            answer = self._answer(session, mail)
        except LOST as fault:
            # only the server knows whether it took the mail
            raise self._lost(fault, unknown=True) from fault
        if answer is None:
            raise TransportError(
                "The server refused this message or another one, and which cannot be known: it may have arrived.",
                kind=ErrorKind.TRANSIENT,
                unknown=True,
            )
        if not answer.accepted:
            raise _refused(answer.stage, answer.code, answer.text)
        return _told(answer.code, answer.text)

    def _answer(self, session: Session, mail: Mail) -> exchange.Answer | None:
        """To the content. None where it cannot be told from other answers."""
        if mail.behind and mail.order is Order.BROKEN:
            return exchange.content_among_others(session, mail.rest())
        answer = exchange.content(session, mail.rest())
        if mail.tries and of_hello(answer.text):  # this server says that first
            answer = exchange.content(session, b"")
        return answer

    def _lost(self, fault: Exception, *, unknown: bool) -> TransportError:
        why = "The deadline of this message passed" if self._late() else "The connection was lost"
        where = " after the message was handed over: it may have arrived" if unknown else ""
        self._drop()
        return TransportError(
            f"{why}{where}.", kind=ErrorKind.TRANSIENT, answer=f"{type(fault).__name__}: {fault}", unknown=unknown
        )

    def _late(self) -> bool:
        return self._watchdog is not None and self._watchdog.fired

    def _reset(self, mail: Mail) -> None:
        """After a refusal: the next mail begins anew, on this connection where that is possible."""
        if self._session is None:
            return
        code = 0
        if not mail.behind:  # else the server may be waiting for the content of the mail behind it
            with suppress(OSError, smtplib.SMTPException):
                code, _ = self._session.rset()
        if code == 250:
            self._session.under_way = None
        else:
            self._drop()

    def _finished(self, mail: Mail) -> None:
        """After an acceptance: the same."""
        if mail.behind:
            self._drop()
        elif self._session is not None:
            self._session.under_way = None

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
            if session.on_the_wire is not None:
                session.on_the_wire.close()


def seconds_from_now(seconds: float) -> float:
    """A deadline for `send`."""
    return time.monotonic() + seconds


def _expect(stage: Stage, code: int, answer: bytes, *, success: tuple[int, ...] = ()) -> None:
    if code in success or (not success and 200 <= code < 300):
        return
    raise _refused(stage, code, answer)


def _refused(stage: Stage, code: int, answer: bytes | str) -> TransportError:
    told = _told(code, answer)
    verdict = judge(stage, code, told.partition(" ")[2])
    return TransportError(
        f"The mail server answered {stage.upper()} with: {told}",
        kind=verdict.kind,
        answer=told,
        whole_kind=verdict.whole_kind,
        bounced=verdict.bounced,
    )


def _told(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", errors="replace") if isinstance(answer, bytes) else str(answer)
    return f"{code} {text}"[:_LONGEST_ANSWER]


def _no_connection(fault: Exception, to: SmtpSettings, *, deadline_passed: bool) -> TransportError:
    """What it means that no connection could be made, and who has to act."""
    where = f"the mail server {to.host}:{to.port}"
    said = f"{type(fault).__name__}: {fault}"
    if isinstance(fault, smtplib.SMTPAuthenticationError):
        return _refused(Stage.AUTH, fault.smtp_code, fault.smtp_error)
    if isinstance(fault, smtplib.SMTPResponseException):
        return _refused(Stage.HELLO, fault.smtp_code, fault.smtp_error)
    kind = ErrorKind.CONFIGURATION if _settings_are_wrong(fault) else ErrorKind.TRANSIENT
    doing = "did not answer in time" if deadline_passed or isinstance(fault, TimeoutError) else "cannot be reached"
    return TransportError(f"{where} {doing}.".capitalize(), kind=kind, answer=said, whole_kind=True)


def _settings_are_wrong(fault: Exception) -> bool:
    """Whether somebody has to mend something before a connection can be made; all else passes by itself."""
    if isinstance(fault, socket.gaierror):
        return fault.errno != socket.EAI_AGAIN  # DNS itself is out of reach for now
    if isinstance(fault, ssl.SSLError):
        return not isinstance(fault, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    # smtplib: no sign-in, or none by a way that it knows; a password that cannot be said in ASCII
    return isinstance(fault, (smtplib.SMTPNotSupportedError, UnicodeError)) or type(fault) is smtplib.SMTPException
