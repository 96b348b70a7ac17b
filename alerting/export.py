"""Export of events and notifications as streams of rows, the same content in JSON Lines and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from django.db import transaction

from accounts.models import Organisation
from alerting.models import Notification
from vessels.models import Event

Row = dict[str, Any]
_CHUNK = 2000


class Writer(Protocol):
    """A text file, or Django's wrapper around standard output."""

    def write(self, text: str, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What to export: from `since` (included) to `until` (not), of one organisation or of all."""

    since: datetime | None = None
    until: datetime | None = None
    organisation: Organisation | None = None


def event_rows(selection: Selection) -> Iterator[Row]:
    """Events in the order in which they occurred; `since` and `until` are times of occurrence."""
    # never the areas' geometries: tens of thousands of corners for each event
    events = Event.objects.select_related("area").defer("area__geometry")
    events = events.order_by("occurred_at", "mmsi", "area_id", "kind", "id")
    if selection.organisation is not None:
        events = events.filter(area__organisation=selection.organisation)
    events = _between(events, "occurred_at", selection)
    for event in events.iterator(chunk_size=_CHUNK):
        yield {
            "kind": event.kind,
            "mmsi": event.mmsi,
            "area": event.area.name,
            "occurred_at": iso(event.occurred_at),
            "lon": event.lon,
            "lat": event.lat,
            "duration_seconds": _seconds(event.duration),
            "not_before": iso(event.not_before),
            "not_after": iso(event.not_after),
            "detected_at": iso(event.detected_at),
            "area_version": event.area_version,
        }


def notification_rows(selection: Selection) -> Iterator[Row]:
    """Notifications in the order in which they were made; `since` and `until` are times of making."""
    notifications = (
        Notification.objects.select_related(
            "organisation", "subscription__user", "subscription__rule", "channel", "event__area", "message"
        )
        .defer("event__area__geometry")
        .order_by("created_at", "id")
    )
    if selection.organisation is not None:
        notifications = notifications.filter(organisation=selection.organisation)
    notifications = _between(notifications, "created_at", selection)
    for notification in notifications.iterator(chunk_size=_CHUNK):
        yield _notification_row(notification)


def _notification_row(notification: Notification) -> Row:
    event, message = notification.event, notification.message
    return {
        "organisation": notification.organisation.slug,
        "user": notification.subscription.user.email,
        "rule": notification.subscription.rule.name,
        "rule_version": notification.rule_version,
        "cadence": notification.cadence,
        "channel": notification.channel.name,
        "state": notification.state,
        "reason": notification.reason,
        "kind": event.kind,
        "mmsi": event.mmsi,
        "area": event.area.name,
        "occurred_at": iso(event.occurred_at),
        "duration_seconds": _seconds(event.duration),
        "created_at": iso(notification.created_at),
        "due_at": iso(notification.due_at),
        "sent_at": iso(notification.sent_at),
        "attempts": None if message is None else message.attempts_made,
        "message_id": None if message is None else message.message_id,
    }


def write_rows(rows: Iterator[Row], to: Writer, *, form: Literal["jsonl", "csv"]) -> int:
    """Write rows as they come, never holding them all; how many. No rows: an empty file.

    The rows are read in one transaction, so that they are of one moment.
    """
    count = 0
    writer: csv.DictWriter[str] | None = None
    with transaction.atomic():
        for row in rows:
            if form == "jsonl":
                to.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                if writer is None:
                    writer = csv.DictWriter(to, fieldnames=list(row), lineterminator="\n")
                    writer.writeheader()
                writer.writerow({name: spreadsheet_safe(value) for name, value in row.items()})
            count += 1
    return count


def iso(time: datetime | None) -> str | None:
    """UTC, ISO 8601 with Z; microseconds only where there are some."""
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def spreadsheet_safe(value: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it: names from outside are hostile."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def _seconds(duration: timedelta | None) -> float | int | None:
    if duration is None:
        return None
    seconds = duration.total_seconds()
    return int(seconds) if seconds == int(seconds) else seconds


def _between(rows: Any, field: str, selection: Selection) -> Any:
    if selection.since is not None:
        rows = rows.filter(**{f"{field}__gte": selection.since})
    if selection.until is not None:
        rows = rows.filter(**{f"{field}__lt": selection.until})
    return rows
