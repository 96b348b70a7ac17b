from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from resilience.models import Incident
from resilience.poster import post_waiting, poster_step
from resilience.reports import PROJECT
from tests.slack_server import SlackServer

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """Stands still until told to move."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slack(slack_server: SlackServer, settings: Settings) -> SlackServer:
    settings.SLACK_WEBHOOK_URL = slack_server.url
    return slack_server


def incident(fingerprint: str = "f", **more: Any) -> Incident:
    times = {"first_at": NOON, "last_at": NOON, "next_post_at": NOON}
    values = {"kind": "panic", "fingerprint": fingerprint, "summary": "broken", **times, **more}
    return Incident.objects.create(**values)


def test_an_incident_is_posted_once(slack: SlackServer, clock: Clock) -> None:
    incident(summary="<!channel> is broken", traceback="Traceback <x>")

    assert poster_step(clock)
    clock.move(seconds=5)
    assert not poster_step(clock)

    assert "*panic*: &lt;!channel&gt; is broken" in slack.texts[0]
    posted = Incident.objects.get()
    assert (posted.posts, posted.posted_count, posted.has_news) == (1, 1, False)


def test_without_slack_nothing_is_posted_and_nothing_fails(clock: Clock, settings: Settings) -> None:
    settings.SLACK_WEBHOOK_URL = ""
    incident()

    assert not poster_step(clock)
    assert Incident.objects.get().has_news


def test_one_message_a_second(slack: SlackServer, clock: Clock) -> None:
    incident("a")
    incident("b")

    assert poster_step(clock)
    assert not poster_step(clock)
    clock.move(seconds=1)
    assert poster_step(clock)


def test_critical_ones_go_first(slack: SlackServer, clock: Clock) -> None:
    incident("a", summary="later")
    incident("b", summary="first", severity="critical")

    poster_step(clock)

    assert "first" in slack.texts[0]


def test_many_at_once_become_one_message(slack: SlackServer, clock: Clock) -> None:
    for number in range(40):
        incident(f"f{number}")

    poster_step(clock)
    clock.move(seconds=2)

    assert not poster_step(clock)
    assert "40 incidents" in slack.texts[0]


def test_repeats_are_told_as_a_count_after_minutes(slack: SlackServer, clock: Clock) -> None:
    incident()
    poster_step(clock)
    Incident.objects.update(count=500, has_news=True)

    clock.move(minutes=4)
    assert not poster_step(clock)
    clock.move(minutes=2)
    assert poster_step(clock)

    assert "(500 times)" in slack.texts[1]


def test_slacks_retry_after_holds_for_all(slack: SlackServer, clock: Clock) -> None:
    slack.answer, slack.retry_after = "ratelimited", 30
    incident("a")
    poster_step(clock)
    assert "429" in Incident.objects.get().last_post_error
    slack.answer = "ok"
    incident("b")

    clock.move(seconds=29)
    assert not poster_step(clock)
    clock.move(seconds=2)
    assert poster_step(clock)


@pytest.mark.parametrize("answer", ["error", "gone"])
def test_a_failed_post_is_kept_and_tried_again(answer: str, slack: SlackServer, clock: Clock) -> None:
    slack.answer = answer
    incident()
    poster_step(clock)
    failed = Incident.objects.get()
    assert (failed.post_failures, failed.has_news, failed.posts) == (1, True, 0)

    slack.answer = "ok"
    clock.move(seconds=11)
    assert poster_step(clock)

    told = Incident.objects.get()
    assert (told.posts, told.last_post_error) == (1, "")


def test_a_refused_connection_is_a_failed_post(slack: SlackServer, clock: Clock) -> None:
    slack.refuse()
    incident()

    assert poster_step(clock)
    assert "refused" in Incident.objects.get().last_post_error


def test_a_resolved_incident_is_told(slack: SlackServer, clock: Clock) -> None:
    from resilience.incidents import incident_resolve

    row = incident()
    poster_step(clock)
    clock.move(seconds=10)
    incident_resolve(incident_id=row.pk, by="ana@moana.example", now=clock())

    assert poster_step(clock)
    assert "Resolved by ana@moana.example" in slack.texts[1]
    clock.move(hours=2)
    assert not poster_step(clock)


def test_a_bot_posts_to_its_channel_and_answers_in_the_thread(
    slack_server: SlackServer, clock: Clock, settings: Settings
) -> None:
    settings.SLACK_WEBHOOK_URL = ""
    settings.SLACK_BOT_TOKEN, settings.SLACK_CHANNEL = "xoxb-1-hush", "#ops"
    settings.SLACK_API_URL = slack_server.api_url
    incident()
    poster_step(clock)
    Incident.objects.update(count=2, has_news=True)
    clock.move(minutes=6)
    poster_step(clock)

    assert slack_server.requests[0]["channel"] == "#ops"
    assert slack_server.requests[1]["thread_ts"] == "1700000000.000001"


def test_a_poster_that_died_loses_its_turn_after_a_while(slack: SlackServer, clock: Clock) -> None:
    from resilience import poster

    incident()
    poster._take_turn(clock())

    assert not poster_step(clock)
    clock.move(seconds=31)
    assert poster_step(clock)


def test_the_command_posts_what_waits(slack: SlackServer, capsys: pytest.CaptureFixture[str]) -> None:
    incident()

    call_command("incidents", "--post")
    call_command("incidents")

    assert len(slack.requests) == 1
    assert "panic (1 times): broken" in capsys.readouterr().out


def test_the_command_says_that_slack_is_not_set_up(settings: Settings) -> None:
    settings.SLACK_WEBHOOK_URL = ""

    with pytest.raises(CommandError, match="SLACK_WEBHOOK_URL"):
        call_command("incidents", "--post")


_POSTER = """
import django, sys
from django.conf import settings
import config.settings
config.settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from resilience.poster import post_waiting
print("ready", flush=True)
sys.stdin.readline()
post_waiting(seconds=8)
"""


def test_two_processes_post_each_incident_once_and_a_second_apart(slack: SlackServer) -> None:
    for number in range(4):
        incident(f"f{number}", summary=f"number {number}")
    name = str(connection.settings_dict["NAME"])
    environment = os.environ | {"SLACK_WEBHOOK_URL": slack.url, "DJANGO_SETTINGS_MODULE": "config.settings"}
    posters = [
        subprocess.Popen(
            [sys.executable, "-c", _POSTER, name],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for poster in posters:
        assert poster.stdout is not None
        assert poster.stdout.readline() == "ready\n"
    for poster in posters:
        poster.communicate("go\n", timeout=30)

    assert sorted(text.split("number ")[1][0] for text in slack.texts) == ["0", "1", "2", "3"]
    gaps = [later - sooner for sooner, later in zip(slack.times, slack.times[1:], strict=False)]
    assert min(gaps) > 0.9


def test_posting_ends_when_nothing_is_due(slack: SlackServer) -> None:
    started = time.monotonic()

    assert post_waiting(seconds=30) == 0
    assert time.monotonic() - started < 10


_SHORT_COMMAND = """
import django, sys
import config.settings
config.settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
import structlog
structlog.get_logger("wk.short").error("apply_failed", error="line 3")
"""


def test_a_short_command_that_fails_is_told_before_it_ends(slack: SlackServer) -> None:
    name = str(connection.settings_dict["NAME"])
    environment = os.environ | {"SLACK_WEBHOOK_URL": slack.url, "DJANGO_SETTINGS_MODULE": "config.settings"}

    subprocess.run([sys.executable, "-c", _SHORT_COMMAND, name], cwd=PROJECT, env=environment, check=True, timeout=30)

    assert "*apply_failed*: line 3" in slack.texts[0]
    Incident.objects.all().delete()
