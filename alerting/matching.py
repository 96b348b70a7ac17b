"""Matching: events that no rule has looked at become notifications, and for realtime also messages.

Invariant 2, queued before marked done: an event's notifications, their messages and its `matched_at` are
committed together. What fails is one rule on one event: it becomes a `MatchFailure`, is tried again later,
and holds back no other rule, no other event and not the watch.

One step:
1. take the oldest unmatched events, locked, leaving those that another process has in hand;
2. look up their rules, subscriptions and vessels in bulk;
3. for each event and rule, guarded: does the rule take it, and what does each subscription then owe to whom;
4. store all of it and mark the events;
5. after the commit: report the failures, wake the senders.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.local_time import next_daily, next_weekly
from alerting.messages import MESSAGES_WAITING, message_new
from alerting.models import (
    AlertRule,
    Cadence,
    MatchFailure,
    Message,
    MessageKind,
    Notification,
    Subscription,
)
from alerting.rules.book import RuleBook, read_rule_book
from alerting.rules.selection import Candidate, rule_takes
from resilience.incidents import incident_report
from vessels.models import Event, EventKind, Vessel

log = structlog.get_logger(__name__)

Made = TypeVar("Made")

BATCH = 500
_RETRY_WAITS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2))


@dataclass(slots=True)
class Outcome:
    """What a step made, before it is stored."""

    notifications: list[Notification] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Failure:
    """One rule that could not be applied to one event."""

    event: Event
    rule: AlertRule
    error: Exception

    def text(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"

    def traceback(self) -> str:
        return "".join(traceback.format_exception(self.error))


def matching_step(*, now: datetime) -> int:
    """Match one batch of events and retry failures whose time has come; how many events and failures it took.

    Raises `DatabaseError` when the database fails: then nothing is marked, and the next step does it all again.
    """
    with transaction.atomic():
        events = list(Event.objects.unmatched().order_by("id").select_for_update(skip_locked=True)[:BATCH])
        failures = _match_and_store(events, now=now)
        Event.objects.filter(pk__in=[event.pk for event in events]).update(matched_at=now)
    _report(failures)
    return len(events) + _retry_failures(now=now)


def _match_and_store(events: Sequence[Event], *, now: datetime) -> list[Failure]:
    if not events:
        return []
    book = read_rule_book(area_ids={event.area_id for event in events})
    outcome = Outcome()
    for candidate in _candidates(events):
        for rule in book.rules_of(candidate.event):
            _apply(rule, candidate, book, outcome, now=now)
    outcome.failures += _store(outcome.notifications, book, now=now)
    _record_failures(outcome.failures, now=now)
    if any(notification.message_id for notification in outcome.notifications):
        _wake_senders()
    return outcome.failures


def _candidates(events: Sequence[Event]) -> Iterable[Candidate]:
    vessels = _vessels_of({event.mmsi for event in events})
    raised = _missing_durations([event for event in events if event.kind == EventKind.RESUMED])
    for event in events:
        key = (event.mmsi, event.area_id, event.gap_start)
        yield Candidate(event, vessels.get(event.mmsi), frozenset(raised.get(key, ())))


def _vessels_of(mmsis: set[int]) -> dict[int, Vessel]:
    try:
        return {vessel.mmsi: vessel for vessel in Vessel.objects.filter(mmsi__in=mmsis)}
    except DatabaseError:
        log.exception("query_failed_vessel_profiles", during="matching", vessels=len(mmsis))
        raise


def _missing_durations(resumed: Sequence[Event]) -> dict[tuple[int, int, datetime | None], set[timedelta]]:
    """For each gap that ended: the durations for which its vessel was told missing."""
    found: dict[tuple[int, int, datetime | None], set[timedelta]] = {}
    if resumed:
        rows = Event.objects.filter(
            kind=EventKind.MISSING,
            mmsi__in={event.mmsi for event in resumed},
            area__in={event.area_id for event in resumed},
            gap_start__in={event.gap_start for event in resumed},
        ).values_list("mmsi", "area_id", "gap_start", "duration")
        for mmsi, area_id, gap_start, duration in rows:
            if duration is not None:
                found.setdefault((mmsi, area_id, gap_start), set()).add(duration)
    return found


def _apply(rule: AlertRule, candidate: Candidate, book: RuleBook, outcome: Outcome, *, now: datetime) -> None:
    """One rule on one event, guarded; each subscription by itself, so that one cannot silence the others."""

    def fail(error: Exception) -> None:
        outcome.failures.append(Failure(candidate.event, rule, error))

    taken = _guarded(lambda: rule_takes(rule, candidate, watchlist=book.watchlist_of(rule)), on_error=fail)
    if not taken:
        return
    for subscription in book.subscriptions_of(rule):
        make = partial(_duties, subscription, rule, candidate.event, book, now=now)
        made = _guarded(make, on_error=fail)
        outcome.notifications += made or []


def _guarded(action: Callable[[], Made], *, on_error: Callable[[Exception], None]) -> Made | None:
    try:
        return action()
    except Exception as error:  # whatever one rule does must not reach the next
        on_error(error)
        return None


def _duties(
    subscription: Subscription, rule: AlertRule, event: Event, book: RuleBook, *, now: datetime
) -> list[Notification]:
    due_at = due_after(subscription, now=now)
    return [
        Notification(
            organisation_id=subscription.organisation_id,
            subscription=subscription,
            event=event,
            channel=channel,
            rule_version=rule.version,
            dedupe_key=dedupe_key(event),
            cadence=subscription.cadence,
            due_at=due_at,
            created_at=now,
        )
        for channel in book.channels_of(subscription)
    ]


def due_after(subscription: Subscription, *, now: datetime) -> datetime:
    """When what happens now is to be told: at once, or at the subscription's next time in its user's zone."""
    zone = subscription.user.time_zone
    if subscription.cadence == Cadence.REALTIME:
        return now
    if subscription.at is None:
        raise ValueError(f"subscription {subscription.pk} is {subscription.cadence} and has no time of day")
    if subscription.cadence == Cadence.DAILY:
        return next_daily(now, zone, subscription.at)
    if subscription.weekday is None:
        raise ValueError(f"subscription {subscription.pk} is weekly and has no weekday")
    return next_weekly(now, zone, subscription.weekday, subscription.at)


def dedupe_key(event: Event) -> str:
    """What makes two notifications of a subscription the same duty: the event, or the gap."""
    if event.kind in (EventKind.MISSING, EventKind.RESUMED) and event.gap_start is not None:
        return f"{event.kind}:{event.mmsi}:{event.gap_start.isoformat()}"
    return f"event:{event.pk}"


def _store(notifications: list[Notification], book: RuleBook, *, now: datetime) -> list[Failure]:
    """Store what is owed, at once if possible, else one by one so that a row deleted meanwhile fails alone."""
    owed = _not_yet_stored(notifications)
    try:
        with transaction.atomic():
            _insert(owed, now=now)
    except IntegrityError:
        return [failure for one in owed for failure in _store_alone(one, book, now=now)]
    return []


def _store_alone(notification: Notification, book: RuleBook, *, now: datetime) -> list[Failure]:
    notification.pk = notification.message = None
    try:
        with transaction.atomic():
            if _not_yet_stored([notification]):
                _insert([notification], now=now)
    except IntegrityError as error:
        if "one_notification_per_duty" in str(error):  # another process stored the same duty: it is kept
            return []
        return [Failure(notification.event, book.rule(notification.subscription.rule_id), error)]
    return []


def _insert(notifications: list[Notification], *, now: datetime) -> None:
    realtime = [one for one in notifications if one.cadence == Cadence.REALTIME]
    for notification in realtime:
        notification.message = message_new(
            organisation_id=notification.organisation_id,
            channel=notification.channel,
            kind=MessageKind.REALTIME,
            due_at=notification.due_at,
            now=now,
        )
    Message.objects.bulk_create([one.message for one in realtime if one.message is not None])
    for notification in realtime:
        notification.message = notification.message  # takes over the key that the insert gave
    Notification.objects.bulk_create(notifications)


def _not_yet_stored(notifications: list[Notification]) -> list[Notification]:
    """Without those stored before (a retried rule) and those said twice in this batch (one gap, two areas)."""
    keys = {one.dedupe_key for one in notifications}
    known = set(
        Notification.objects.filter(
            dedupe_key__in=keys, subscription__in={one.subscription_id for one in notifications}
        ).values_list("subscription_id", "channel_id", "dedupe_key")
    )
    owed = []
    for one in notifications:
        key = (one.subscription_id, one.channel_id, one.dedupe_key)
        if key not in known:
            known.add(key)
            owed.append(one)
    return owed


def _wake_senders() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [MESSAGES_WAITING, Cadence.REALTIME])


def _record_failures(failures: Iterable[Failure], *, now: datetime) -> None:
    for failure in failures:
        row, created = MatchFailure.objects.get_or_create(
            event=failure.event,
            rule=failure.rule,
            defaults={
                "error": failure.text(),
                "traceback": failure.traceback(),
                "first_at": now,
                "retry_at": now + _RETRY_WAITS[0],
            },
        )
        if not created:
            row.retry_at = now + _RETRY_WAITS[min(row.tries, len(_RETRY_WAITS) - 1)]
            row.tries += 1
            row.error, row.traceback, row.resolved_at = failure.text(), failure.traceback(), None
            row.save(update_fields=["retry_at", "tries", "error", "traceback", "resolved_at"])


def _retry_failures(*, now: datetime) -> int:
    """Apply again the rules that failed, each failure in a transaction of its own."""
    due = MatchFailure.objects.filter(resolved_at__isnull=True, retry_at__lte=now).order_by("retry_at")
    keys = list(due.values_list("pk", flat=True)[:BATCH])
    for key in keys:
        _report(_retry_failure(key, now=now))
    return len(keys)


@transaction.atomic
def _retry_failure(key: int, *, now: datetime) -> list[Failure]:
    row = (
        MatchFailure.objects.select_related("event")
        .filter(pk=key, resolved_at__isnull=True)
        .select_for_update(skip_locked=True, of=("self",))
        .first()
    )
    if row is None:  # another process has it in hand, or has done it
        return []
    book = read_rule_book(area_ids={row.event.area_id})
    outcome = Outcome()
    candidate = next(iter(_candidates([row.event])))
    for rule in book.rules_of(row.event):
        if rule.pk == row.rule_id:
            _apply(rule, candidate, book, outcome, now=now)
    outcome.failures += _store(outcome.notifications, book, now=now)
    row.resolved_at = now
    row.save(update_fields=["resolved_at"])
    _record_failures(outcome.failures, now=now)
    if outcome.notifications:
        _wake_senders()
    return outcome.failures


def _report(failures: Iterable[Failure]) -> None:
    for failure in failures:
        incident_report(
            kind="rule_failed_in_matching",
            summary=f"Rule “{failure.rule.name}” failed on an event; its notifications wait for the next try.",
            fingerprint=f"rule_failed_in_matching:{failure.rule.pk}:{type(failure.error).__name__}",
            error=failure.error,
            details={"rule": failure.rule.pk, "event": failure.event.pk},
        )
