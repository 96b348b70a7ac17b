"""Matching: what becomes a notification, and that nothing one rule does holds back another."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from alerting import matching
from alerting.matching import matching_step
from alerting.models import AlertRule, MatchFailure, Message, Notification
from alerting.rules.actions import rule_save
from resilience.incidents import flush
from resilience.models import Incident
from tests.alerting.world import NOW, World
from vessels.models import Event, Watchlist, WatchlistEntry

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    return World()


def make_raising(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = matching.rule_takes

    def takes(rule: Any, candidate: Any, **kwargs: Any) -> bool:
        if rule.name == name:
            raise ZeroDivisionError("a fault in this rule")
        return real(rule, candidate, **kwargs)

    monkeypatch.setattr(matching, "rule_takes", takes)


def test_a_realtime_subscription_gets_a_notification_and_a_message_for_each_channel(world: World) -> None:
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user), world.make_channel(user, "second"))
    event = world.make_event()

    taken = matching_step(now=NOW)

    assert taken == 1
    rows = Notification.objects.order_by("id")
    assert [(row.event_id, row.state, row.due_at, row.rule_version) for row in rows] == [
        (event.pk, "pending", NOW, 1)
    ] * 2
    assert [(row.message.state, row.message.expires_at - NOW) for row in rows if row.message] == [
        ("pending", timedelta(hours=48))
    ] * 2
    assert len({row.message.message_id for row in rows if row.message}) == 2
    event.refresh_from_db()
    assert event.matched_at == NOW


def test_a_daily_subscription_waits_for_its_hour_in_the_users_zone(world: World) -> None:
    user = world.make_user(time_zone="Pacific/Auckland")
    world.subscribe(user, world.make_rule(), world.make_channel(user), cadence="daily")
    world.make_event()

    matching_step(now=NOW)  # 01:00 on 2 March in Auckland

    row = Notification.objects.get()
    assert row.message is None
    assert f"{row.due_at.astimezone(ZoneInfo('Pacific/Auckland')):%Y-%m-%d %H:%M}" == "2026-03-02 08:00"


def test_matching_twice_makes_nothing_twice(world: World) -> None:
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    world.make_event()

    matching_step(now=NOW)
    Event.objects.update(matched_at=None)
    matching_step(now=NOW)

    assert Notification.objects.count() == Message.objects.count() == 1


def test_a_raising_rule_stops_neither_other_rules_nor_other_events(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = world.make_user()
    channel = world.make_channel(user)
    for name in ("good before", "raises", "good after"):
        world.subscribe(user, world.make_rule(name), channel)
    world.make_event(mmsi=512000001)
    world.make_event(mmsi=512000002)
    make_raising(monkeypatch, "raises")

    matching_step(now=NOW)

    assert Notification.objects.filter(subscription__rule__name__startswith="good").count() == 4
    assert not Event.objects.unmatched().exists()
    failures = MatchFailure.objects.all()
    assert [failure.rule.name for failure in failures] == ["raises", "raises"]
    assert "ZeroDivisionError: a fault in this rule" in failures[0].error
    assert flush(timeout=5)
    incident = Incident.objects.get(kind="rule_failed_in_matching")
    assert incident.count == 2


def test_a_failed_rule_is_tried_again_and_then_tells(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    user = world.make_user()
    world.subscribe(user, world.make_rule("mended later"), world.make_channel(user))
    world.make_event()
    with monkeypatch.context() as broken:
        make_raising(broken, "mended later")
        matching_step(now=NOW)
        matching_step(now=NOW + timedelta(minutes=2))
    later = NOW + timedelta(hours=1)

    matching_step(now=later)

    failure = MatchFailure.objects.get()
    assert (failure.tries, failure.resolved_at) == (2, later)
    assert Notification.objects.get().due_at == later


def test_one_subscription_that_cannot_be_served_does_not_silence_the_others(world: World) -> None:
    rule = world.make_rule()
    for number, zone in enumerate(["Pacific/Auckland", "Mars/Olympus", "UTC"]):
        user = world.make_user(f"u{number}@moana.example", time_zone=zone)
        world.subscribe(user, rule, world.make_channel(user), cadence="daily")
    world.make_event()

    matching_step(now=NOW)

    assert Notification.objects.count() == 2
    assert "Mars/Olympus" in MatchFailure.objects.get().error


def test_a_duty_stored_by_another_process_meanwhile_is_kept_and_not_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unique key decides a race that the look-up before it loses."""
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    world.make_event()
    matching_step(now=NOW)
    Event.objects.update(matched_at=None)
    world.make_event(mmsi=512000002)
    seen: list[int] = []

    def blind_at_first(notifications: list[Notification]) -> list[Notification]:
        seen.append(len(notifications))
        return notifications

    monkeypatch.setattr(matching, "_not_yet_stored", blind_at_first)
    matching_step(now=NOW)

    assert seen[0] == 2
    assert Notification.objects.count() == Message.objects.count() == 2
    assert not MatchFailure.objects.exists()


def test_a_gap_seen_in_two_areas_of_one_rule_is_told_once(world: World) -> None:
    user = world.make_user()
    other = world.make_area("Inner gulf")
    rule = world.make_rule(kinds=("missing",), missing_for=timedelta(hours=6), classes=["A"], areas=[world.area, other])
    world.subscribe(user, rule, world.make_channel(user))
    world.make_event("missing")
    world.make_event("missing", area=other)

    matching_step(now=NOW)

    assert Notification.objects.count() == 1


def test_resumed_is_told_by_the_rules_whose_missing_was_raised(world: World) -> None:
    user = world.make_user()
    channel = world.make_channel(user)
    for hours in (6, 12):
        rule = world.make_rule(
            f"dark {hours} h", ("missing", "resumed"), missing_for=timedelta(hours=hours), classes=["A"]
        )
        world.subscribe(user, rule, channel)
    gap_start = NOW - timedelta(hours=7)
    world.make_event("missing", gap_start=gap_start, occurred_at=NOW - timedelta(hours=1), detected_at=NOW)
    world.make_event("resumed", gap_start=gap_start, duration=timedelta(hours=7))

    matching_step(now=NOW)

    told = Notification.objects.values_list("subscription__rule__name", "event__kind").order_by("id")
    assert list(told) == [("dark 6 h", "missing"), ("dark 6 h", "resumed")]


def test_a_watchlist_takes_its_own_vessels_only(world: World) -> None:
    user = world.make_user()
    watchlist = Watchlist.objects.create(organisation=world.organisation, name="Ferries")
    WatchlistEntry.objects.create(watchlist=watchlist, mmsi=512000002)
    world.subscribe(user, world.make_rule(watchlist=watchlist), world.make_channel(user))
    world.make_event(mmsi=512000001)
    wanted = world.make_event(mmsi=512000002)

    matching_step(now=NOW)

    assert Notification.objects.get().event == wanted


def test_inactive_and_archived_rules_and_ended_subscriptions_tell_nobody(world: World) -> None:
    user = world.make_user()
    channel = world.make_channel(user)
    world.subscribe(user, world.make_rule("inactive", active=False), channel)
    world.subscribe(user, world.make_rule("ended"), channel, deleted_at=NOW, active=False)
    world.subscribe(user, world.make_rule("off"), channel, active=False)
    world.make_event()

    matching_step(now=NOW)

    assert not Notification.objects.exists()


def test_nothing_is_marked_when_the_step_dies_before_its_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    world.make_event()
    monkeypatch.setattr(matching, "_wake_senders", lambda: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        matching_step(now=NOW)

    assert Event.objects.unmatched().count() == 1
    assert not Notification.objects.exists()
    assert not Message.objects.exists()


def test_a_thousand_events_cost_a_bounded_number_of_queries(world: World) -> None:
    user = world.make_user()
    world.subscribe(user, world.make_rule(), world.make_channel(user))
    for number in range(60):
        world.make_event(mmsi=512000000 + number)
    connection.force_debug_cursor = True
    connection.queries_log.clear()
    try:
        matching_step(now=NOW)
    finally:
        connection.force_debug_cursor = False

    assert len(connection.queries_log) < 25


def test_a_rule_made_after_an_event_was_noticed_is_not_told_of_it(world: World) -> None:
    user = world.make_user()
    channel = world.make_channel(user)
    world.subscribe(user, world.make_rule("early"), channel)
    late = AlertRule(organisation=world.organisation, name="late", kinds=["entered"])
    rule_save(rule=late, areas=[world.area], at=NOW + timedelta(minutes=1))
    world.subscribe(user, late, channel)
    world.make_event()

    matching_step(now=NOW + timedelta(minutes=5))

    assert [one.subscription.rule.name for one in Notification.objects.all()] == ["early"]
