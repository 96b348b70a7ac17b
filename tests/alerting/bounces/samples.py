"""Delivery status notifications as mail servers write them."""

from __future__ import annotations

NO_SUCH_USER = "smtp; 550 5.1.1 <ana@moana.example>: Recipient address rejected:\n    User unknown"


def dsn(
    to: str,
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = NO_SUCH_USER,
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

Final-Recipient: rfc822; ana@moana.example
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


PLAIN_REPLY = b"From: ana@moana.example\r\nTo: bounces@watch.example\r\nSubject: I am away\r\n\r\nUntil Monday.\r\n"
