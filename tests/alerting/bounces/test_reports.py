"""Reading delivery status notifications, and what they mean for a channel."""

from __future__ import annotations

import pytest

from alerting.bounces.reports import UNCLEAR, report_read
from alerting.models import ErrorKind
from tests.alerting.bounces.samples import PLAIN_REPLY, QMAIL, dsn, dsn_of


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
def test_what_is_no_report_is_unclear(mail: bytes) -> None:
    report, _ = report_read(mail)

    assert (report.action, report.final, report.verdict.kind) == (UNCLEAR, False, ErrorKind.TRANSIENT)


def test_a_bounce_in_words_keeps_its_words_and_its_address() -> None:
    report, came_to = report_read(QMAIL.format(to="bounces+7.x@watch.example").encode())

    assert report.said.startswith("failure notice\n\nHi. This is the qmail-send program")
    assert "no mailbox here by that name. (#5.1.1)" in report.said
    assert (report.by, came_to) == ("MAILER-DAEMON@mail.moana.example", ["bounces+7.x@watch.example"])


FAILED = "Final-Recipient: rfc822; ana@moana.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 no"


@pytest.mark.parametrize("content_type", ["message/delivery-status", "message/global-delivery-status"])
@pytest.mark.parametrize("encoding", ["7bit", "8bit", "base64", "quoted-printable"])
def test_a_report_is_read_however_it_is_written(content_type: str, encoding: str) -> None:
    report, _ = report_read(dsn_of("a@b", FAILED, content_type=content_type, encoding=encoding))

    assert (report.action, report.status, report.said) == ("failed", "5.1.1", "550 no")
    assert (report.recipient, report.by) == ("ana@moana.example", "mx.example")


def test_an_internationalised_report_keeps_its_letters() -> None:
    block = "Final-Recipient: utf-8; āna@moana.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 kāore"

    report, _ = report_read(dsn_of("a@b", block, content_type="message/global-delivery-status", encoding="8bit"))

    assert (report.recipient, report.said) == ("āna@moana.example", "550 kāore")


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded", "delayed"])
@pytest.mark.parametrize("failed_first", [True, False])
def test_a_message_that_reached_some_of_an_alias_is_not_lost(action: str, failed_first: bool) -> None:
    blocks = [FAILED, f"Final-Recipient: rfc822; tui@moana.example\nAction: {action}\nStatus: 2.0.0"]

    report, _ = report_read(dsn_of("a@b", *(blocks if failed_first else blocks[::-1])))

    assert (report.action, report.in_part, report.final) == ("failed", True, False)
    assert (report.status, report.recipient) == ("5.1.1", "ana@moana.example")


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded", "delayed"])
def test_a_report_without_a_failure_is_whole(action: str) -> None:
    report, _ = report_read(dsn("a@b", action=action))

    assert (report.action, report.in_part, report.final) == (action, False, False)


def test_a_message_that_reached_none_of_an_alias_is_lost() -> None:
    report, _ = report_read(dsn_of("a@b", FAILED, FAILED.replace("ana@", "tui@")))

    assert (report.in_part, report.final) == (False, True)


def test_what_no_column_keeps_is_replaced() -> None:
    report, _ = report_read(dsn_of("a@b", FAILED.replace("550 no", "550 \x00").replace("failed", "fai\x00led")))

    assert (report.action, report.said) == ("fai\N{REPLACEMENT CHARACTER}led", "550 \N{REPLACEMENT CHARACTER}")


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
