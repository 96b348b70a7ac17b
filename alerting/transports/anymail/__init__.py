"""E-mail by the API of a provider, through django-anymail. Imported only where `ANYMAIL_PROVIDER` is set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

from alerting.models import ErrorKind
from alerting.transports.anymail.amazon_ses import client_params
from alerting.transports.anymail.policy import judge
from alerting.transports.contract import Outgoing, TransportError, nothing
from alerting.transports.email.mime import one_line, recipient_address

MESSAGE = "watchkeeper_message"  # what the provider's webhooks give back


class AnymailTransport:
    """Keeps one session with the provider open for the mails of a send cycle."""

    def __init__(
        self,
        *,
        backend: str,
        mail_from: str,
        options: Mapping[str, Any] = MappingProxyType({}),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`options`: beside those of the settings, as the backend's constructor takes them."""
        self._backend, self._options = backend, options
        self._mail_from = mail_from
        self._monotonic = monotonic
        self._session: Any = None

    def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        """The provider's name for the mail. Raises `TransportError`.

        The provider's client has a time-out for each read, not for all; a provider drips no answers. That of Amazon
        SES has it from its making.
        """
        mail = self._mail(outgoing)
        try:
            session = self._opened()
        except Exception as fault:
            raise judge(fault) from fault
        session.timeout = max(0.1, deadline - self._monotonic())
        handover()
        try:
            session.send_messages([mail])
        except Exception as fault:
            raise judge(fault) from fault
        return _accepted(mail.anymail_status)  # type: ignore[attr-defined]

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _opened(self) -> Any:
        if self._session is None:
            self._session = get_connection(self._backend, fail_silently=False, **self._options)
            self._session.open()
        return self._session

    def _mail(self, outgoing: Outgoing) -> EmailMultiAlternatives:
        headers = {"Message-ID": outgoing.message_id, "Auto-Submitted": "auto-generated"}
        if outgoing.unsubscribe_url:
            headers["List-Unsubscribe"] = f"<{one_line(outgoing.unsubscribe_url)}>"  # RFC 8058
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        recipients = [recipient_address(outgoing.address)]
        mail = EmailMultiAlternatives(
            one_line(outgoing.subject), outgoing.text, self._mail_from, recipients, headers=headers
        )
        if outgoing.html:
            mail.attach_alternative(outgoing.html, "text/html")
        mail.metadata = {MESSAGE: outgoing.message_id}  # type: ignore[attr-defined]
        return mail


def _accepted(status: Any) -> str:
    """Some answers raise nothing and yet do not say that the mail was taken."""
    said = set(status.status or ())
    told = f"{', '.join(sorted(said))} {'' if status.message_id is None else status.message_id}".strip()[:2000]
    if said & {"sent", "queued"} or status.message_id is not None:
        return told
    raise TransportError(
        "The mail provider does not say what became of the mail: it may have taken it.",
        kind=ErrorKind.TRANSIENT,
        answer=told,
        unknown=True,
    )


def anymail_of_settings() -> AnymailTransport:
    """With the provider of `ANYMAIL_PROVIDER`."""
    options: dict[str, Any] = {}
    if settings.ANYMAIL_PROVIDER == "amazon_ses":
        given = settings.ANYMAIL.get("AMAZON_SES_CLIENT_PARAMS", {})
        options["client_params"] = client_params(given, deadline=settings.SEND_DEADLINE_SECONDS)
    backend = f"anymail.backends.{settings.ANYMAIL_PROVIDER}.EmailBackend"
    return AnymailTransport(backend=backend, mail_from=settings.MAIL_FROM, options=options)
