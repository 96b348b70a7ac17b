"""From rows to the facts that rendering tells. No queries: all was loaded before."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts.local_time import DateFormat
from accounts.models import User
from alerting import links
from alerting.cycle.context import CycleContext
from alerting.cycle.load import Loaded
from alerting.cycle.recheck import Checked
from alerting.cycle.rows import MessageRow, UserRow
from alerting.models import Notification, Subscription
from alerting.rendering import facts
from vessels import models as vessels
from vessels.mid import country_name, flag_of

# ITU-R M.1371-5, message 1, navigational status.
STATUS_WORDS = {
    0: "under way using engine",
    1: "at anchor",
    2: "not under command",
    3: "restricted manoeuvrability",
    4: "constrained by her draught",
    5: "moored",
    6: "aground",
    7: "engaged in fishing",
    8: "under way sailing",
    11: "towing astern",
    12: "pushing ahead or towing alongside",
    14: "AIS-SART active",
}
# The same, table 53: the first digit, and the second where it names a type of its own.
_TYPE_WORDS = {2: "Wing in ground", 4: "High-speed craft", 6: "Passenger", 7: "Cargo", 8: "Tanker", 9: "Other"}
_TYPES_BY_NUMBER = {
    30: "Fishing",
    31: "Towing",
    32: "Towing",
    33: "Dredging",
    34: "Diving",
    35: "Military",
    36: "Sailing",
    37: "Pleasure craft",
    50: "Pilot",
    51: "Search and rescue",
    52: "Tug",
    53: "Port tender",
    54: "Anti-pollution",
    55: "Law enforcement",
    58: "Medical transport",
}


def type_in_words(ship_type: int | None) -> str | None:
    if ship_type is None:
        return None
    return _TYPES_BY_NUMBER.get(ship_type) or _TYPE_WORDS.get(ship_type // 10)


def reader_of(user: User | UserRow) -> facts.Reader:
    return facts.Reader(time_zone=user.time_zone, date_format=DateFormat(user.date_format))


def sending_of(
    message: MessageRow, user: UserRow, context: CycleContext, *, now: datetime, unsubscribe_url: str
) -> facts.Sending:
    return facts.Sending(
        now=now,
        due_at=message.due_at,
        late_after=context.late_after,
        unsubscribe_link=unsubscribe_url,
        site_link=links.home_url(),
        organisation=user.organisation,
    )


def unsubscribe_link(checked: Checked, user: UserRow) -> str:
    """For all subscriptions that the message speaks for; "" where it speaks for none."""
    subscriptions: dict[int, Subscription] = {one.subscription_id: one.subscription for one in checked.wanted}
    if not subscriptions:
        return ""
    return links.unsubscribe_url(subscriptions.values(), user_id=user.pk, message_id=checked.message.pk)


def alert_of(one: Notification, found: Loaded) -> facts.Alert:
    """One notification's event. A vessel that cannot be found has only its MMSI."""
    event, rule = one.event, one.subscription.rule
    evidence = event.evidence or {}
    position = evidence_position(evidence)
    return facts.Alert(
        kind=facts.Kind(event.kind),
        vessel=vessel_of(event, found.vessels.get(event.mmsi)),
        area=event.area.name,
        rule=rule.name,
        occurred_at=event.occurred_at,
        detected_at=event.detected_at,
        received_at=event.received_at,
        link=links.notification_url(one),
        severity=facts.Severity(rule.severity),
        lon=event.lon,
        lat=event.lat,
        speed=position.get("speed"),
        course=position.get("course"),
        status=STATUS_WORDS.get(position.get("status", -1)),
        vessel_class=position.get("vessel_class") or None,
        feed=event.feed.name,
        not_before=event.not_before,
        not_after=event.not_after,
        duration=event.duration if event.kind == facts.Kind.MISSING else None,
        gap_start=event.gap_start,
        gap=event.duration if event.kind == facts.Kind.RESUMED else None,
        inside=evidence.get("inside"),
        boundary_nm=evidence.get("boundary_nm"),
        reference=str(one.pk),
        template=rule.template or None,
    )


def evidence_position(evidence: dict[str, Any]) -> dict[str, Any]:
    """The position that an event is told by: after a crossing, the last one of a silence."""
    for name in ("after", "last", "before"):
        if isinstance(found := evidence.get(name), dict):
            return found
    return {}


def vessel_of(event: vessels.Event, row: vessels.Vessel | None) -> facts.Vessel:
    if row is None:
        return facts.Vessel(mmsi=event.mmsi, flag=country_name(flag_of(event.mmsi) or ""))
    return facts.Vessel(
        mmsi=event.mmsi,
        name=row.name or None,
        imo=row.imo,
        flag=country_name(row.flag),
        call_sign=row.call_sign or None,
        ship_type=type_in_words(row.ship_type),
        length_m=None if row.length_m is None else round(row.length_m),
    )
