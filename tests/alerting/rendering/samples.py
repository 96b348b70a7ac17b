"""Facts for the tests of rendering: one vessel, one area, one reader, changed where a test needs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from alerting.rendering import render_digest, render_realtime, render_summary, render_test
from alerting.rendering.facts import (
    Alert,
    DigestCadence,
    DigestFacts,
    Kind,
    Reader,
    RealtimeFacts,
    Rendered,
    Sending,
    Severity,
    StaleAlert,
    SummaryFacts,
    TestFacts,
    Vessel,
)

MIDNIGHT = datetime(2024, 12, 31, 11, 0, tzinfo=UTC)  # 1 January 2025 00:00 in Auckland
DAY_LATER = MIDNIGHT + timedelta(days=1)
AUCKLAND = Reader(time_zone="Pacific/Auckland")
ENDEAVOUR = Vessel(
    mmsi=512345678, name="Endeavour", imo=9007128, flag="New Zealand", call_sign="ZMEN", ship_type="Cargo", length_m=88
)
SITE = "https://watch.example"


def alert(kind: Kind = Kind.ENTERED, **changed: Any) -> Alert:
    """An alert of that kind, a minute between positions."""
    facts: dict[str, Any] = {
        "kind": kind,
        "vessel": ENDEAVOUR,
        "area": "New Zealand 400 nmi",
        "rule": "Anybody in our waters",
        "occurred_at": MIDNIGHT,
        "received_at": MIDNIGHT + timedelta(seconds=4),
        "detected_at": MIDNIGHT + timedelta(seconds=5),
        "link": f"{SITE}/notifications/7",
        "lon": 174.7833333,
        "lat": -36.8353333,
        "speed": 12.34,
        "course": 87.4,
        "status": "under way using engine",
        "vessel_class": "A",
        "feed": "harbour receiver",
        "not_before": MIDNIGHT - timedelta(minutes=1),
        "not_after": MIDNIGHT,
        "reference": "7",
    }
    return Alert(**(facts | changed))


def missing(**changed: Any) -> Alert:
    """Silent for over six hours since midnight of 2 January in Auckland."""
    facts = {
        "occurred_at": DAY_LATER + timedelta(hours=6),
        "gap_start": DAY_LATER,
        "duration": timedelta(hours=6),
        "boundary_nm": 4.23,
        "not_before": None,
        "not_after": None,
    }
    return alert(Kind.MISSING, **(facts | changed))


def resumed(**changed: Any) -> Alert:
    """Heard again after nine hours and a quarter."""
    facts = {
        "occurred_at": DAY_LATER + timedelta(hours=9, minutes=15),
        "gap_start": DAY_LATER,
        "gap": timedelta(hours=9, minutes=15),
        "inside": True,
        "not_before": None,
        "not_after": None,
    }
    return alert(Kind.RESUMED, **(facts | changed))


def sending(**changed: Any) -> Sending:
    """Sent at once."""
    facts: dict[str, Any] = {
        "now": MIDNIGHT + timedelta(seconds=6),
        "due_at": MIDNIGHT + timedelta(seconds=5),
        "late_after": timedelta(minutes=15),
        "unsubscribe_link": f"{SITE}/unsubscribe/abc",
        "site_link": SITE,
        "organisation": "Moana Watch",
    }
    return Sending(**(facts | changed))


def realtime(told: Alert | None = None, **changed: Any) -> RealtimeFacts:
    return RealtimeFacts(reader=AUCKLAND, sending=sending(**changed), alert=told or alert())


def digest(*alerts: Alert, **changed: Any) -> DigestFacts:
    facts: dict[str, Any] = {
        "reader": AUCKLAND,
        "sending": sending(),
        "cadence": DigestCadence.DAILY,
        "alerts": alerts,
        "history_link": f"{SITE}/history",
        "since": MIDNIGHT - timedelta(days=1),
    }
    return DigestFacts(**(facts | changed))


def many(count: int) -> tuple[Alert, ...]:
    """Alerts of three rules and two areas, in a mixed order."""
    rules = ("Anybody in our waters", "Dark inside 400 nmi", "Ferry leaves the Sound")
    made = []
    for number in range(count):
        kind = (Kind.ENTERED, Kind.EXITED, Kind.APPEARED)[number % 3]
        at = MIDNIGHT - timedelta(minutes=7 * number)
        made.append(
            alert(
                kind,
                rule=rules[number % 3],
                area=("New Zealand 400 nmi", "Kermadec")[number % 2],
                severity=Severity.CRITICAL if number % 3 == 2 else Severity.NORMAL,
                vessel=Vessel(mmsi=512000000 + number, name=f"ARATERE {number}", flag="New Zealand"),
                occurred_at=at,
                received_at=at + timedelta(seconds=4),
                detected_at=at + timedelta(seconds=5),
                not_before=at - timedelta(minutes=1),
                not_after=at,
                link=f"{SITE}/notifications/{number}",
            )
        )
    return tuple(made)


def summary(*stale: Alert, **changed: Any) -> SummaryFacts:
    due = MIDNIGHT - timedelta(days=3)
    items = tuple(StaleAlert(alert=told, due_at=due, reason="the mail server could not be reached") for told in stale)
    facts: dict[str, Any] = {
        "reader": AUCKLAND,
        "sending": sending(),
        "stale": items,
        "stale_after": timedelta(hours=48),
        "history_link": f"{SITE}/history",
    }
    return SummaryFacts(**(facts | changed))


def channel_test() -> TestFacts:
    return TestFacts(reader=AUCKLAND, sending=sending(unsubscribe_link=""), channel="mail (ana@moana.example)")


def everything() -> dict[str, Rendered]:
    """One of each, for eyes: what the looks are judged by."""
    late = {"now": MIDNIGHT + timedelta(hours=2, minutes=3)}
    unwitnessed = alert(not_before=MIDNIGHT - timedelta(hours=5), severity=Severity.CRITICAL)
    nameless = alert(Kind.EXITED, vessel=Vessel(mmsi=512345678))
    return {
        "entered": render_realtime(realtime()),
        "unwitnessed_critical_late": render_realtime(realtime(unwitnessed, **late)),
        "missing": render_realtime(realtime(missing(severity=Severity.CRITICAL))),
        "resumed": render_realtime(realtime(resumed())),
        "nameless": render_realtime(realtime(nameless)),
        "digest": render_digest(digest(*many(14))),
        "summary": render_summary(summary(alert(), missing(), nameless)),
        "test": render_test(channel_test()),
    }
