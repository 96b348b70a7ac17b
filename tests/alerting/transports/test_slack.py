"""A user's own Slack webhook."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from alerting.models import ErrorKind
from alerting.transports import Outgoing, TransportError
from alerting.transports.addresses import Guard
from alerting.transports.slack import HOSTS, SlackTransport
from tests.alerting.transports.http_receiver import receiving, status

LOOPBACK = Guard((ip_network("127.0.0.0/8"),), HOSTS)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def send(
    address: str, text: str = "entered", seconds: float = 5, guard: Guard = LOOPBACK, subject: str = "Alert"
) -> str:
    message = Outgoing(
        message_id="<a@b>", address=address, subject=subject, text=text, html="", unsubscribe_url="", at=NOW
    )
    transport = SlackTransport(guard)
    try:
        return transport.send(message, deadline=time.monotonic() + seconds)
    finally:
        transport.close()


def test_slack_accepts_and_sees_no_markup_from_outside(slack_server: Any) -> None:
    answer = send(slack_server.url, "Vessel <!channel> & <https://evil.example|click>")

    assert answer.startswith("200")
    told = slack_server.requests[0]["blocks"][0]["text"]["text"]
    assert told == "Vessel &lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;"


@pytest.mark.parametrize("name", ["<!channel>", "<@U1>", "</x>", "A\r\nB", "\x00\u202e", "\ud83d", "🚢", "W" * 5000])
def test_a_hostile_name_mentions_nobody_and_stops_no_message(slack_server: Any, name: str) -> None:
    assert send(slack_server.url, f"{name} entered", subject=f"{name} entered").startswith("200")

    (said,) = slack_server.requests
    assert "<" not in said["text"] + said["blocks"][0]["text"]["text"]


@pytest.mark.parametrize(
    ("answer", "kind", "bounced"),
    [
        ("ratelimited", ErrorKind.TRANSIENT, False),
        ("error", ErrorKind.TRANSIENT, False),
        ("gone", ErrorKind.PERMANENT, True),
    ],
)
def test_other_answers_have_their_kind(slack_server: Any, answer: str, kind: ErrorKind, bounced: bool) -> None:
    slack_server.answer = answer

    with pytest.raises(TransportError) as caught:
        send(slack_server.url)

    assert (caught.value.kind, caught.value.bounced, caught.value.whole_kind) == (kind, bounced, False)


def test_a_webhook_that_does_not_answer_is_unknown(slack_server: Any) -> None:
    slack_server.answer = "hang"

    with pytest.raises(TransportError) as caught:
        send(slack_server.url, seconds=1)

    assert (caught.value.kind, caught.value.unknown) == (ErrorKind.TRANSIENT, True)


def test_slack_s_own_pause_is_kept(slack_server: Any) -> None:
    slack_server.answer, slack_server.retry_after = "ratelimited", 7

    with pytest.raises(TransportError) as caught:
        send(slack_server.url)

    assert caught.value.retry_after == 7


def test_another_host_is_not_slack(slack_server: Any) -> None:
    with pytest.raises(TransportError, match=r"must begin with https://hooks\.slack\.com/") as caught:
        send(slack_server.url, guard=Guard(hosts=HOSTS))

    assert caught.value.kind == ErrorKind.PERMANENT
    assert not slack_server.requests


def test_every_line_of_a_long_text_arrives(slack_server: Any) -> None:
    lines = [f"* ENDEAVOUR {number} entered Gulf & left <Bay>" for number in range(100)]

    send(slack_server.url, "\n".join(lines))

    told = "\n".join(block["text"]["text"] for block in slack_server.requests[0]["blocks"])
    assert told == "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_what_is_too_much_for_slack_is_said_in_fewer_blocks() -> None:
    answers = [status(400, b"msg_blocks_too_long"), status(200, b"ok")]
    with receiving() as receiver:
        receiver.answer = lambda talk: talk.sendall(answers[len(receiver.requests) - 1])

        answer = send(receiver.url(), "entered\n" * 2000)

    assert answer == "200 ok"
    sizes = [len(json.loads(request.body)["blocks"]) for request in receiver.requests]
    assert sizes == [6, 3]
