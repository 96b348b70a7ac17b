"""Events and states in plain words, by the same sentences that messages use."""

from __future__ import annotations

from accounts.models import User
from alerting.cycle.facts import STATUS_WORDS, evidence_position, reader_of, vessel_of
from alerting.models import Notification, Severity, State
from alerting.rendering import facts
from alerting.rendering.details import sections
from alerting.rendering.letters import Section
from alerting.rendering.sentences import notes, sentence
from vessels.models import Event, EventKind

STATE_WORDS: dict[str, str] = {
    State.PENDING: "Waiting: it has not been due yet, or is tried again soon.",
    State.SENT: "The server of the channel accepted it.",
    State.FAILED: "It could not be delivered, and is not tried again by itself.",
    State.CANCELLED: "It was not sent, because it was no longer wanted.",
    State.STALE: "It grew too old before it could be sent, and was kept instead of sent late.",
    State.QUARANTINED: "It was set aside, because sending it made the sender fail again and again.",
}
NOT_SENT = (State.FAILED, State.STALE, State.QUARANTINED)


def event_alert(event: Event, *, rule: str = "", severity: str = Severity.NORMAL, link: str = "") -> facts.Alert:
    """The event as messages tell it. Reads its area, vessel and feed: select them with the event."""
    evidence = event.evidence or {}
    position = evidence_position(evidence)
    missing = event.kind == EventKind.MISSING
    return facts.Alert(
        kind=facts.Kind(event.kind),
        vessel=vessel_of(event, event.vessel),
        area=event.area.name,
        rule=rule,
        severity=facts.Severity(severity),
        occurred_at=event.occurred_at,
        detected_at=event.detected_at,
        received_at=event.received_at,
        link=link,
        lon=event.lon,
        lat=event.lat,
        speed=position.get("speed"),
        course=position.get("course"),
        status=STATUS_WORDS.get(position.get("status", -1)),
        vessel_class=position.get("vessel_class") or None,
        feed=event.feed.name,
        not_before=event.not_before,
        not_after=event.not_after,
        duration=event.duration if missing else None,
        gap_start=event.gap_start,
        gap=None if missing else event.duration,
        inside=evidence.get("inside"),
        boundary_nm=evidence.get("boundary_nm"),
    )


def event_told(event: Event, user: User) -> str:
    """One sentence in the user's zone."""
    return sentence(event_alert(event), reader_of(user))


def notification_sections(notification: Notification, user: User) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """What happened and to which vessel, detail by detail, and what a careful reader must know."""
    rule = notification.subscription.rule
    alert = event_alert(notification.event, rule=rule.name, severity=rule.severity)
    return sections(alert, reader_of(user)), notes(alert)
