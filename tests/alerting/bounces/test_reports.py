"""Reading delivery status notifications, and what they mean for a channel."""

from __future__ import annotations

import pytest

from alerting.bounces.reports import NotAReport, report_read
from alerting.models import ErrorKind
from tests.alerting.bounces.samples import PLAIN_REPLY, dsn


def test_a_report_of_postfix_is_read() -> None:
    report, came_to = report_read(dsn("bounces+7.x@watch.example"))

    assert (report.action, report.status, report.final) == ("failed", "5.1.1", True)
    assert report.said == "550 5.1.1 <ana@moana.example>: Recipient address rejected: User unknown"
    assert (report.recipient, report.by) == ("ana@moana.example", "mail.moana.example")
    assert came_to == ["bounces+7.x@watch.example"]


def test_the_address_that_the_last_server_notes_comes_first() -> None:
    mail = b"X-Original-To: bounces+1.a@watch.example\r\n" + dsn("bounces+2.b@watch.example")

    assert report_read(mail)[1] == ["bounces+1.a@watch.example", "bounces+2.b@watch.example"]


def test_the_same_report_has_the_same_fingerprint_and_another_has_not() -> None:
    first, again, other = (report_read(dsn("a@b", status=status))[0] for status in ("5.1.1", "5.1.1", "5.7.1"))

    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize("mail", [b"", b"\x00\xff", PLAIN_REPLY, dsn("a@b").replace(b"Action:", b"Activity:")])
def test_what_is_no_report_is_refused(mail: bytes) -> None:
    with pytest.raises(NotAReport):
        report_read(mail)


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "kind", "bounced"),
    [
        ("failed", "5.1.1", "smtp; 550 no", ErrorKind.PERMANENT, True),
        ("failed", "5.1.10", "smtp; 556 null MX", ErrorKind.PERMANENT, True),
        ("failed", "5.2.1", "smtp; 550 disabled", ErrorKind.PERMANENT, True),
        ("failed", "5.2.2", "smtp; 552 mailbox full", ErrorKind.TRANSIENT, False),
        ("failed", "5.7.1", "smtp; 550 5.7.1 spam", ErrorKind.PERMANENT, False),
        ("failed", "5.0.0", "smtp; 550 5.1.1 unknown user", ErrorKind.PERMANENT, True),
        ("failed", "5.0.0", "smtp; 550 unknown user", ErrorKind.PERMANENT, True),
        ("failed", "5.0.0", "smtp; 554 refused", ErrorKind.PERMANENT, False),
        ("failed", "5.0.0", "x-unix; no", ErrorKind.PERMANENT, False),
        ("failed", "", "", ErrorKind.PERMANENT, False),
        ("failed", "4.4.7", "smtp; 451 4.4.7 expired", ErrorKind.TRANSIENT, False),
        ("delayed", "4.4.1", "smtp; no answer", ErrorKind.TRANSIENT, False),
        ("delayed", "5.1.1", "smtp; 550 5.1.1 no", ErrorKind.TRANSIENT, False),
    ],
)
def test_a_report_is_judged_as_an_answer_while_sending_would_be(
    action: str, status: str, diagnostic: str, kind: ErrorKind, bounced: bool
) -> None:
    report, _ = report_read(dsn("a@b", action=action, status=status, diagnostic=diagnostic))

    assert (report.verdict.kind, report.verdict.bounced) == (kind, bounced)
