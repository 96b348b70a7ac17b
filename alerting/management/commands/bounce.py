"""`manage.py bounce < dsn.eml`: takes a mail that came back, as a mail server's pipe delivers it.

Exit codes are those of sysexits.h, which mail servers understand: 65 for a mail to no return address of ours, which may
be dropped, and 75 for "try again later".
"""

from __future__ import annotations

import os
import sys
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone

from alerting.bounces.addresses import message_of
from alerting.bounces.recording import bounce_record
from alerting.bounces.reports import report_read
from alerting.models import Message
from resilience.incidents import incident_report

log = structlog.get_logger(__name__)

MOST_BYTES = 1_000_000  # the report comes before the mail that it is about
_AWAY = (OperationalError, InterfaceError)


class NotOurs(ValueError):
    """No message of ours can have come back by this mail."""


class Command(BaseCommand):
    help = "Take a delivery status notification from standard input, and do what it asks for."
    requires_system_checks: list[str] = []  # a mail server waits

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "recipient", nargs="?", default="", help="The address that it came to; else the mail's headers are asked."
        )

    def handle(self, *, recipient: str, **_: Any) -> None:
        mail = sys.stdin.buffer.read(MOST_BYTES)
        try:
            self._take(mail, recipient)
        except NotOurs as fault:
            raise CommandError(str(fault), returncode=os.EX_DATAERR) from fault
        except _AWAY as fault:
            raise CommandError(f"The database is away: {fault}", returncode=os.EX_TEMPFAIL) from fault
        except Exception as fault:  # a fault of ours must not cost the mail: the mail server keeps it
            incident_report(kind="bounce_not_taken", summary=f"A bounce could not be taken: {fault}", error=fault)
            raise CommandError(f"A fault of our own: {fault}", returncode=os.EX_TEMPFAIL) from fault

    def _take(self, mail: bytes, recipient: str) -> None:
        report, came_to = report_read(mail)
        addresses = [recipient] if recipient else came_to
        message_id = next((found for address in addresses if (found := message_of(address)) is not None), None)
        if message_id is None:
            raise NotOurs("the mail did not come to a return address of ours, or its signature is wrong")
        try:
            followed = bounce_record(message_id=message_id, report=report, source="mail", now=timezone.now())
        except Message.DoesNotExist as fault:
            raise NotOurs(f"there is no message {message_id}") from fault
        log.info(
            "bounce_taken",
            message=message_id,
            action=report.action,
            status=report.status,
            new=followed.new,
            failed=followed.failed,
            disabled=[channel.pk for channel in followed.disabled],
        )
