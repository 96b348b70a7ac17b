"""The JSON that a webhook gets. Pure; `docs/webhooks.md` promises its fields."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from alerting.rendering.facts import Alert
from alerting.rendering.plain import vessel_name
from alerting.transports.contract import Outgoing

_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")


def webhook_id(message_id: str) -> str:
    """The same for every repeat of a message. The specification wants no full stop in it, which a host's name has."""
    local = message_id.strip("<>").partition("@")[0]
    return f"msg_{_NOT_IN_AN_ID.sub('-', local)}"


def body_bytes(outgoing: Outgoing) -> bytes:
    """All that the message says, for programs and for people."""
    said = {
        "type": f"watchkeeper.{outgoing.kind or 'message'}",
        "timestamp": time_text(outgoing.due_at or outgoing.at),
        "data": {
            "id": webhook_id(outgoing.message_id),
            "subject": outgoing.subject,
            "text": outgoing.text,
            "link": outgoing.link,
            "due_at": time_text(outgoing.due_at or outgoing.at),
            "sent_at": time_text(outgoing.at),
            "events": [event(alert) for alert in outgoing.events],
        },
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def event(alert: Alert) -> dict[str, Any]:
    """One event; what is not known is null."""
    vessel = alert.vessel
    placed = alert.lon is not None and alert.lat is not None
    return {
        "kind": str(alert.kind),
        "mmsi": f"{vessel.mmsi:09d}",
        "vessel": {
            "name": vessel_name(vessel.name) or None,
            "imo": vessel.imo,
            "call_sign": vessel_name(vessel.call_sign) or None,
            "flag": vessel.flag,
            "type": vessel.ship_type,
        },
        "area": alert.area,
        "rule": alert.rule,
        "severity": str(alert.severity),
        "occurred_at": time_text(alert.occurred_at),
        "detected_at": time_text(alert.detected_at),
        "position": {"lon": alert.lon, "lat": alert.lat, "speed": alert.speed, "course": alert.course}
        if placed
        else None,
        "duration_seconds": None if alert.duration is None else alert.duration.total_seconds(),
        "last_heard_at": None if alert.gap_start is None else time_text(alert.gap_start),
        "link": alert.link,
    }


def time_text(at: datetime) -> str:
    """RFC 3339, in UTC."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
