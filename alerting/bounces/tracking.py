"""What a mail provider tells by its webhook, through django-anymail: the same path as a mail that came back."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import structlog
from django.utils import timezone

from alerting.bounces.recording import bounce_record
from alerting.bounces.reports import Report
from alerting.models import Message
from alerting.transports.anymail import MESSAGE

log = structlog.get_logger(__name__)

# Anymail's event types; a mail that arrived needs no row of its own.
_ACTIONS = {
    "bounced": "failed",
    "rejected": "failed",
    "failed": "failed",
    "deferred": "delayed",
    "complained": "complained",
}
# Its reasons that say more than the server's own words do.
_STATUS_OF = {"invalid": "5.1.3", "timed_out": "4.4.7"}
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")


def tracking_take(sender: object, event: Any, esp_name: str, **_: object) -> None:
    """A receiver of Anymail's signal, which has checked who calls. What it raises makes the provider try again."""
    report = report_of(event, esp_name)
    message = Message.objects.filter(message_id=(event.metadata or {}).get(MESSAGE, "")).only("pk").first()
    if report is None or message is None:
        log.info("tracking_left", provider=esp_name, type=event.event_type, known=message is not None)
        return
    bounce_record(message_id=message.pk, report=report, source=f"anymail {esp_name}"[:40], now=timezone.now())


def report_of(event: Any, esp_name: str) -> Report | None:
    """The event as a report; None for what tells of no trouble."""
    action = _ACTIONS.get(event.event_type)
    if action is None:
        return None
    said = str(event.mta_response or event.description or event.reject_reason or "")[:2000]
    found = _STATUS.search(said)
    seen = (esp_name, event.event_type, event.event_id or (event.message_id, event.timestamp))
    return Report(
        action=action,
        status=found[1] if found else _STATUS_OF.get(event.reject_reason or "", ""),
        said=said,
        recipient=str(event.recipient or "")[:320],
        by=esp_name[:255],
        fingerprint=hashlib.sha256(repr(seen).encode()).hexdigest(),
    )
