from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError

from resilience.heartbeats import age, beat, heartbeats_check, heartbeats_excuse, heartbeats_forget, instance_name
from resilience.models import Heartbeat, Incident

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_last_beat_counts() -> None:
    beat("watch", {"cursor": 1}, now=NOON)
    beat("watch", {"cursor": 2}, now=NOON + MINUTE)

    assert age("watch", NOON + 2 * MINUTE) == MINUTE
    assert Heartbeat.objects.get().detail == {"cursor": 2}


def test_what_never_beat_has_no_age() -> None:
    assert age("watch", NOON) is None


def test_silence_is_one_incident_and_ends_when_the_part_is_heard_again() -> None:
    beat("watch", now=NOON)
    late = NOON + 2 * MINUTE

    assert heartbeats_check({"watch": MINUTE}, now=late, since=NOON) == ["watch"]
    incident = Incident.objects.get()
    assert (incident.kind, incident.severity) == ("heartbeat_missing", "critical")
    beat("watch", now=late)
    assert heartbeats_check({"watch": MINUTE}, now=late, since=NOON) == []

    incident.refresh_from_db()
    assert incident.state == "resolved"


def test_a_part_that_never_beat_has_its_limit_of_time_to_start() -> None:
    assert heartbeats_check({"watch": MINUTE}, now=NOON + MINUTE / 2, since=NOON) == []
    assert heartbeats_check({"watch": MINUTE}, now=NOON + 2 * MINUTE, since=NOON) == ["watch"]


def test_a_heartbeat_has_a_name() -> None:
    with pytest.raises(IntegrityError):
        beat("", now=NOON)


def test_after_a_stop_of_everything_each_part_gets_its_time_to_start() -> None:
    beat("watch", now=NOON - 60 * MINUTE)

    assert heartbeats_check({"watch": MINUTE}, now=NOON + MINUTE / 2, since=NOON) == []
    assert heartbeats_check({"watch": MINUTE}, now=NOON + 2 * MINUTE, since=NOON) == ["watch"]


def test_one_of_several_instances_is_heard_by_its_own_name() -> None:
    beat("worker realtime", now=NOON, instance="one")
    beat("worker realtime", now=NOON + MINUTE, instance="two")

    assert age("worker realtime", NOON + MINUTE) == timedelta(0)
    assert age(instance_name("worker realtime", "one"), NOON + MINUTE) == MINUTE


def test_a_silent_instance_is_an_incident_until_it_need_not_beat_any_more() -> None:
    beat("worker realtime", now=NOON, instance="one")
    late, name = NOON + 3 * MINUTE, instance_name("worker realtime", "one")

    heartbeats_check({name: MINUTE}, now=late, since=NOON)
    heartbeats_excuse(but=[name], now=late)
    still_open = Incident.objects.open().count()
    heartbeats_excuse(but=[], now=late)

    assert (still_open, Incident.objects.open().count()) == (1, 0)


def test_instances_of_long_ago_are_forgotten() -> None:
    beat("worker realtime", now=NOON, instance="one")

    assert heartbeats_forget(before=NOON + MINUTE) == 1
    assert list(Heartbeat.objects.values_list("name", flat=True)) == ["worker realtime"]
