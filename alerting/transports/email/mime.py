"""From a rendered message to the bytes of a mail. Text from outside can never add a header."""

from __future__ import annotations

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from alerting.models import ErrorKind
from alerting.transports.contract import Outgoing, TransportError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_POLICY = SMTP.clone(cte_type="7bit")  # no server needs 8BITMIME for it


def sender_address(mail_from: str) -> Address:
    """`Name <box@host>` as an address. Raises `TransportError` of the configuration kind."""
    try:
        name, spec = parseaddr(mail_from)
        return Address(display_name=one_line(name), addr_spec=spec)
    except (ValueError, IndexError) as fault:
        raise TransportError(
            f"MAIL_FROM is not an address: {mail_from!r}", kind=ErrorKind.CONFIGURATION, whole_kind=True
        ) from fault


def recipient_address(address: str) -> Address:
    """Raises `TransportError`: what is not one plain address can never arrive."""
    try:
        # a control character, which could end the header, is refused rather than cleaned away
        return Address(addr_spec=_CONTROL.sub("\n", address.strip()))
    except (ValueError, IndexError) as fault:
        raise TransportError(
            f"{address!r} is not an e-mail address.", kind=ErrorKind.PERMANENT, bounced=True
        ) from fault


def one_line(text: str) -> str:
    """`text` without line breaks and other control characters."""
    return _CONTROL.sub(" ", text).strip()


def mail_bytes(outgoing: Outgoing, *, sender: Address) -> bytes:
    """The mail as it goes over the wire, lines ended by CR LF; the dots are stuffed by the connection."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = recipient_address(outgoing.address)
    mail["Subject"] = one_line(outgoing.subject)
    mail["Date"] = format_datetime(outgoing.at)
    mail["Message-ID"] = f"<{one_line(outgoing.message_id).strip('<>')}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    if outgoing.unsubscribe_url:
        # RFC 8058: one click, by POST, without a sign-in
        mail["List-Unsubscribe"] = f"<{one_line(outgoing.unsubscribe_url)}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(outgoing.text)
    if outgoing.html:
        mail.add_alternative(outgoing.html, subtype="html")
    return mail.as_bytes()
