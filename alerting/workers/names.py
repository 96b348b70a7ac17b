"""The deployments of workers, and what each needs to be known by."""

from __future__ import annotations

from datetime import timedelta

DEPLOYMENTS = ("realtime", "digest", "housekeeping")
# Seconds between ticks without a poke.
TICK_SECONDS = {"realtime": 2.0, "digest": 5.0, "housekeeping": 5.0}
# Channels of PostgreSQL's NOTIFY that poke a deployment: events to match, messages to send.
POKES = {
    "realtime": ("watchkeeper_events", "watchkeeper_messages"),
    "digest": ("watchkeeper_messages",),
    "housekeeping": (),
}
# An older sign of life is an alarm.
SILENT_AFTER = timedelta(seconds=60)


def task_path(deployment: str) -> str:
    """The task as a dotted string: django-q2 never pickles code."""
    return f"alerting.workers.tasks.{deployment}"


def heartbeat_name(deployment: str) -> str:
    return f"worker {deployment}"
