"""What a mail provider tells by its webhook."""

from __future__ import annotations

import pytest

pytest.importorskip("anymail")
from anymail.signals import AnymailTrackingEvent

from alerting.bounces.tracking import report_of, tracking_take
from alerting.models import BounceReport, ErrorKind, Message, Notification, State
from tests.alerting.pages_world import event_new, notification_new, world_new


def told(event_type: str, **fields: object) -> AnymailTrackingEvent:
    return AnymailTrackingEvent(event_type=event_type, event_id="e-1", **fields)


@pytest.mark.parametrize(
    ("event_type", "fields", "final", "kind", "bounced"),
    [
        ("bounced", {"mta_response": "smtp;550 5.1.1 unknown"}, True, ErrorKind.PERMANENT, True),
        ("bounced", {"reject_reason": "bounced"}, True, ErrorKind.PERMANENT, False),
        ("bounced", {"reject_reason": "timed_out"}, True, ErrorKind.TRANSIENT, False),
        ("rejected", {"reject_reason": "invalid"}, True, ErrorKind.PERMANENT, True),
        ("failed", {"description": "no"}, True, ErrorKind.PERMANENT, False),
        ("deferred", {"mta_response": "451 4.7.1 later"}, False, ErrorKind.TRANSIENT, False),
        ("complained", {}, False, ErrorKind.TRANSIENT, False),
    ],
)
def test_events_are_judged_as_reports(
    event_type: str, fields: dict[str, str], final: bool, kind: ErrorKind, bounced: bool
) -> None:
    report = report_of(told(event_type, **fields), "Postmark")

    assert report is not None
    assert (report.final, report.verdict.kind, report.verdict.bounced) == (final, kind, bounced)


@pytest.mark.parametrize("event_type", ["delivered", "opened", "sent", "unknown"])
def test_what_tells_of_no_trouble_is_left(event_type: str) -> None:
    assert report_of(told(event_type), "Postmark") is None


@pytest.mark.django_db
def test_a_bounce_finds_its_message_by_the_reference_and_counts_once() -> None:
    world = world_new("moana")
    notification_new(world, event=event_new(world))
    event = told(
        "bounced",
        recipient="ana@moana.example",
        metadata={"watchkeeper_message": Message.objects.get().message_id},
        mta_response="550 5.1.1 unknown",
    )

    tracking_take(None, event, "Postmark")
    tracking_take(None, event, "Postmark")

    notification = Notification.objects.get()
    assert notification.state == State.FAILED
    assert notification.reason == "Accepted, then returned: 550 5.1.1 unknown"
    assert BounceReport.objects.get().source == "anymail Postmark"
    assert not notification.channel.is_usable


@pytest.mark.django_db
def test_an_event_of_somebody_else_s_mail_changes_nothing() -> None:
    tracking_take(None, told("bounced", metadata={}), "Postmark")

    assert not BounceReport.objects.exists()
