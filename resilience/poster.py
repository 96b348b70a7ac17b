"""Tells Slack of incidents: one poster at a time among all processes, one message a second, repeats folded.

Whoever records an incident wakes the poster of its own process, so a message leaves within seconds; housekeeping
calls `poster_step` too, for count updates and for processes that died before they could post. Errors of the
poster itself are log lines and marks on the row, never incidents.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection, connections
from django.db.models import Case, IntegerField, Value, When
from django.utils import timezone

from resilience.metrics import INCIDENT_POSTS
from resilience.models import Incident, Severity
from resilience.recorder import Entry
from resilience.slack import Slack, SlackFault, slack_from_settings
from resilience.slack_messages import News, compose

POSTER = "incident-poster"  # its heartbeat's `free_at` says when anybody may post next
TURN = timedelta(seconds=30)  # longer than Slack's time-out; a poster that dies or hangs loses its turn after it
BETWEEN_POSTS = timedelta(seconds=1)  # Slack takes one message a second
FIRST_UPDATE, LAST_UPDATE = timedelta(minutes=5), timedelta(hours=1)
FIRST_RETRY, LAST_RETRY = timedelta(seconds=10), timedelta(minutes=10)
MANY = 5  # more than these at once become one message
BURST = 5_000

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]


def poster_step(clock: Clock = timezone.now, *, slack: Slack | None = None) -> bool:
    """Sends one message if one is due and it is this process's turn. True if Slack was called.

    1. Is something due? 2. Take the turn. 3. Read what is due, send, mark. 4. Give the turn back.
    """
    slack = slack or slack_from_settings()
    if slack is None or not incidents_due(clock()):
        return False
    turn = _take_turn(clock())
    if turn is None:
        return False
    pause = BETWEEN_POSTS
    try:
        pause = _post_due(slack, clock)
    finally:
        _give_turn_back(turn, clock() + pause)
    return True


def incidents_due(now: datetime) -> bool:
    return Incident.objects.due(now).exists()


def post_waiting(
    *, clock: Clock = timezone.now, seconds: float = 10.0, sleep: Callable[[float], object] = time.sleep
) -> int:
    """Sends what is due until nothing is, or time is up. Returns the number of calls to Slack."""
    calls, deadline = 0, clock() + timedelta(seconds=seconds)
    while slack_from_settings() is not None and clock() < deadline and incidents_due(clock()):
        calls += poster_step(clock)
        sleep(BETWEEN_POSTS.total_seconds())
    return calls


def _post_due(slack: Slack, clock: Clock) -> timedelta:
    """Returns how long nobody may post."""
    rank = Case(
        When(severity=Severity.CRITICAL, then=Value(0)),
        When(severity=Severity.ERROR, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    incidents = list(Incident.objects.due(clock()).order_by(rank, "first_at", "id")[:BURST])
    if not incidents:
        return timedelta(0)
    if len(incidents) <= MANY:
        incidents = incidents[:1]
    thread = incidents[0].slack_reference if len(incidents) == 1 else ""
    text = compose([_news(incident) for incident in incidents], installation=settings.ENVIRONMENT_NAME)
    try:
        reference = slack.send(text, thread)
    except SlackFault as fault:
        return _mark_failed(incidents, fault, clock())
    INCIDENT_POSTS.labels(outcome="sent").inc()
    _mark_told(incidents, reference, clock())
    return BETWEEN_POSTS


def _news(incident: Incident) -> News:
    return News(
        kind=incident.kind,
        severity=incident.severity,
        summary=incident.summary,
        count=incident.count,
        first_at=incident.first_at,
        last_at=incident.last_at,
        traceback=incident.traceback,
        sample=incident.sample,
        told_before=incident.posts > 0,
        resolved_by=incident.resolved_by if incident.state == Incident.State.RESOLVED else "",
    )


def _mark_told(incidents: Sequence[Incident], reference: str, now: datetime) -> None:
    """What happened to a row since it was read stays news."""
    steps = [min(FIRST_UPDATE * 2 ** min(incident.posts, 6), LAST_UPDATE) for incident in incidents]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE resilience_incident AS incident
               SET has_news = (count, state) IS DISTINCT FROM (told.told_count, told.told_state),
                   next_post_at = CASE WHEN state = told.told_state THEN told.next_at ELSE %(now)s END,
                   posted_count = told.told_count, posts = posts + 1, last_posted_at = %(now)s,
                   first_posted_at = COALESCE(first_posted_at, %(now)s), post_failures = 0, last_post_error = '',
                   slack_reference = CASE WHEN slack_reference = '' THEN %(reference)s ELSE slack_reference END
              FROM unnest(%(ids)s::bigint[], %(counts)s::bigint[], %(states)s::text[], %(next)s::timestamptz[])
                   AS told (id, told_count, told_state, next_at)
             WHERE incident.id = told.id
            """,
            {
                "now": now,
                "reference": reference,
                "ids": [incident.pk for incident in incidents],
                "counts": [incident.count for incident in incidents],
                "states": [incident.state for incident in incidents],
                "next": [now + step for step in steps],
            },
        )


def _mark_failed(incidents: Sequence[Incident], fault: SlackFault, now: datetime) -> timedelta:
    INCIDENT_POSTS.labels(outcome="failed").inc()
    log.warning("incident_post_failed", error=str(fault), waiting=len(incidents))
    failures = incidents[0].post_failures + 1
    wait = min(FIRST_RETRY * 2 ** min(failures - 1, 6), LAST_RETRY)
    if fault.retry_after is not None:
        wait = timedelta(seconds=fault.retry_after)
    Incident.objects.filter(pk__in=[incident.pk for incident in incidents]).update(
        post_failures=failures, last_post_error=str(fault), next_post_at=now + wait
    )
    # A 429 holds for the whole channel; any other failure costs the others only the usual pause.
    return wait if fault.retry_after is not None else BETWEEN_POSTS


def _take_turn(now: datetime) -> str | None:
    """A lease on the poster's heartbeat row by one conditional write, so that it works through poolers too."""
    owner = uuid.uuid4().hex
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO resilience_heartbeat AS beat (name, at, pid, host, detail)
            VALUES (%(name)s, %(now)s, %(pid)s, %(host)s,
                    jsonb_build_object('owner', %(owner)s::text, 'free_at', %(until)s::text))
            ON CONFLICT (name) DO UPDATE
               SET at = EXCLUDED.at, pid = EXCLUDED.pid, host = EXCLUDED.host, detail = EXCLUDED.detail
             WHERE COALESCE((beat.detail ->> 'free_at')::timestamptz, '-infinity') <= %(now)s
            RETURNING beat.id
            """,
            {
                "name": POSTER,
                "now": now,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "owner": owner,
                "until": (now + TURN).isoformat(),
            },
        )
        return owner if cursor.fetchone() else None


def _give_turn_back(owner: str, free_at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE resilience_heartbeat SET detail = jsonb_build_object('free_at', %s::text)
             WHERE name = %s AND detail ->> 'owner' = %s
            """,
            [free_at.isoformat(), POSTER, owner],
        )


class PosterThread:
    """The poster of this process: woken by the recorder, ends when it has nothing to do."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._direct: list[tuple[Entry, str]] = []
        self._rows_wait = False
        self._running = False

    def wake(self) -> None:
        """There are new rows."""
        with self._changed:
            self._rows_wait = True
            self._ensure_running()

    def tell(self, entries: Sequence[Entry], fault: str) -> None:
        """These could not be written: tell Slack directly."""
        with self._changed:
            self._direct += [(entry, fault) for entry in entries]
            del self._direct[:-BURST]
            self._ensure_running()

    def drain(self, timeout: float) -> bool:
        """Waits until the thread has nothing to do. False when time is up."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout)

    def _ensure_running(self) -> None:
        if not self._running:
            threading.Thread(target=self._run, name="incident-poster", daemon=True).start()
            self._running = True

    def _run(self) -> None:
        while True:
            with self._changed:
                direct, self._direct = self._direct, []
                rows, self._rows_wait = self._rows_wait, False
                if not direct and not rows:
                    self._running = False
                    self._changed.notify_all()
                    return
            if direct:
                self._attempt(lambda direct=direct: _post_directly(direct))  # type: ignore[misc]
            if rows:
                self._attempt(post_waiting)

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # the poster's errors end here: housekeeping tries again
            log.warning("incident_poster_stumbled", error=f"{type(error).__name__}: {error}"[:300])
        finally:
            connections.close_all()


def _post_directly(waiting: Sequence[tuple[Entry, str]]) -> None:
    """Without the database: one message for all that wait, then the pause that Slack wants."""
    slack = slack_from_settings()
    if slack is None:
        return
    counts = [entry.count for entry, _ in waiting]
    news = [
        News(
            kind=entry.report.kind,
            severity=entry.report.severity,
            summary=entry.report.summary,
            count=entry.count,
            first_at=entry.report.at,
            last_at=entry.last_at,
            traceback=entry.report.traceback,
        )
        for entry, _ in waiting
    ]
    reason = f":floppy_disk: Told directly by {socket.gethostname()}: not written to the database ({waiting[-1][1]})"
    try:
        slack.send(compose(news, installation=settings.ENVIRONMENT_NAME, reason=reason), "")
    except SlackFault as fault:
        INCIDENT_POSTS.labels(outcome="failed").inc()
        log.warning("incident_post_failed", error=str(fault), waiting=len(waiting))
        for entry, _ in waiting:
            entry.tell_after = time.monotonic() + (fault.retry_after or FIRST_RETRY.total_seconds())
    else:
        INCIDENT_POSTS.labels(outcome="sent_directly").inc()
        for (entry, _), count in zip(waiting, counts, strict=True):
            entry.tell_done(count=count, at=timezone.now())
    time.sleep(BETWEEN_POSTS.total_seconds())
