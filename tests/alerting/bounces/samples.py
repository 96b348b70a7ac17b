"""Delivery status notifications as mail servers write them."""

from __future__ import annotations

import base64
import quopri

NO_SUCH_USER = "smtp; 550 5.1.1 <ana@moana.example>: Recipient address rejected:\n    User unknown"


def dsn(
    to: str,
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = NO_SUCH_USER,
    final: str = "ana@moana.example",
    header: str = "To",
) -> bytes:
    """As Postfix writes it (RFC 3464, appendix E)."""
    return f"""\
Return-Path: <>
From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
{header}: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="ABC/mx.example"

--ABC/mx.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--ABC/mx.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Arrival-Date: Sun,  1 Mar 2026 12:00:00 +0000 (UTC)

Final-Recipient: rfc822; {final}
Original-Recipient: rfc822;ana@moana.example
Action: {action}
Status: {status}
Remote-MTA: dns; mail.moana.example
Diagnostic-Code: {diagnostic}

--ABC/mx.example
Content-Description: Undelivered Message
Content-Type: message/rfc822

From: Watchkeeper <alerts@watch.example>
To: ana@moana.example
Subject: ENDEAVOUR entered Gulf

ENDEAVOUR entered Gulf.

--ABC/mx.example--
""".replace("\n", "\r\n").encode()


def dsn_of(to: str, *blocks: str, content_type: str = "message/delivery-status", encoding: str = "7bit") -> bytes:
    """A report of several groups of fields, in one of the forms that RFC 2045 and RFC 6533 allow."""
    fields = (
        "\r\n\r\n".join(block.replace("\n", "\r\n") for block in ("Reporting-MTA: dns; mx.example", *blocks)) + "\r\n"
    )
    encoded = {
        "base64": base64.encodebytes,
        "quoted-printable": lambda plain: quopri.encodestring(plain).replace(b".", b"=2E"),
    }.get(encoding, lambda plain: plain)(fields.encode())
    head = f"""\
From: MAILER-DAEMON@mx.example
To: {to}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="ABC"

--ABC
Content-Type: text/plain

Your message could not be delivered.

--ABC
Content-Type: {content_type}
Content-Transfer-Encoding: {encoding}

"""
    return head.replace("\n", "\r\n").encode() + encoded + b"\r\n--ABC--\r\n"


QMAIL = """\
Return-Path: <>
From: MAILER-DAEMON@mail.moana.example
To: {to}
Subject: failure notice

Hi. This is the qmail-send program at mail.moana.example.
I'm afraid I wasn't able to deliver your message to the following addresses.

<ana@moana.example>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

ENDEAVOUR entered Gulf.
"""

PLAIN_REPLY = b"From: ana@moana.example\r\nTo: bounces@watch.example\r\nSubject: I am away\r\n\r\nUntil Monday.\r\n"
