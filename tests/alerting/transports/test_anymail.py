"""E-mail by a provider's API, through Anymail's own test backend and against a real HTTP server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core import mail

from alerting.models import ErrorKind
from alerting.transports import Outgoing, TransportError, transport_for
from tests.alerting.transports.http_receiver import Receiver, receiving, status

pytest.importorskip("anymail")
from anymail.exceptions import AnymailSerializationError, AnymailUnsupportedFeature

from alerting.transports.anymail import AnymailTransport
from alerting.transports.anymail.policy import judge

REFUSED = b"""{"ErrorCode": 300, "Message": "Invalid 'To' address: 'ana@moana.example'."}"""
POSTMARK = "anymail.backends.postmark.EmailBackend"


@pytest.fixture
def provider(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with receiving() as server:
        settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "token", "POSTMARK_API_URL": server.url(path="/")}
        server.answer = status(
            200, json.dumps({"ErrorCode": 0, "To": "ana@moana.example", "MessageID": "p-1", "Message": "OK"}).encode()
        )
        yield server


def outgoing(address: str = "ana@moana.example") -> Outgoing:
    return Outgoing(
        message_id="<5f1c@watch.example>",
        address=address,
        subject="ENDEAVOUR entered\r\nBcc: all@moana.example",
        text="entered",
        html="<p>entered</p>",
        unsubscribe_url="https://watch.example/unsubscribe/x/",
        at=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
    )


def send(backend: str = POSTMARK, address: str = "ana@moana.example") -> str:
    transport = AnymailTransport(backend=backend, mail_from="Watchkeeper <alerts@watch.example>")
    try:
        return transport.send(outgoing(address), deadline=time.monotonic() + 5)
    finally:
        transport.close()


def fault_of(address: str = "ana@moana.example") -> TransportError:
    with pytest.raises(TransportError) as caught:
        send(address=address)
    return caught.value


def test_a_mail_leaves_by_the_provider_with_its_reference(provider: Receiver) -> None:
    assert send() == "sent p-1"

    said = json.loads(provider.requests[0].body)
    headers = {each["Name"]: each["Value"] for each in said["Headers"]}
    assert said["Metadata"] == {"watchkeeper_message": "<5f1c@watch.example>"}
    assert headers["Message-ID"] == "<5f1c@watch.example>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "\n" not in said["Subject"]


def test_the_setting_chooses_the_provider(settings: Any) -> None:
    settings.ANYMAIL_PROVIDER = "test"
    mail.outbox = []

    transport_for("email").send(outgoing(), deadline=time.monotonic() + 5)

    assert mail.outbox[0].to == ["ana@moana.example"]


@pytest.mark.parametrize(
    ("code", "kind", "whole_kind"),
    [
        (401, ErrorKind.CONFIGURATION, True),
        (402, ErrorKind.CONFIGURATION, True),
        (403, ErrorKind.CONFIGURATION, False),
        (408, ErrorKind.TRANSIENT, False),
        (413, ErrorKind.PERMANENT, False),
        (422, ErrorKind.CONFIGURATION, False),
        (429, ErrorKind.TRANSIENT, True),
        (500, ErrorKind.TRANSIENT, True),
        (503, ErrorKind.TRANSIENT, True),
    ],
)
def test_answers_have_their_kind(provider: Receiver, code: int, kind: ErrorKind, whole_kind: bool) -> None:
    provider.answer = status(code, b"{}", Retry_After="7")

    fault = fault_of()

    assert (fault.kind, fault.whole_kind, fault.unknown) == (kind, whole_kind, code >= 500)
    assert fault.retry_after == (7 if kind == ErrorKind.TRANSIENT else None)


def test_a_refused_address_is_its_own_fault(provider: Receiver) -> None:
    provider.answer = status(422, REFUSED)

    fault = fault_of()

    assert (fault.kind, fault.bounced, fault.whole_kind) == (ErrorKind.PERMANENT, True, False)


def test_an_answer_that_names_nobody_is_no_success(provider: Receiver) -> None:
    provider.answer = status(422, REFUSED.replace(b"ana@moana.example", b"x"))

    fault = fault_of()

    assert (fault.kind, fault.unknown) == (ErrorKind.TRANSIENT, True)


def test_a_sender_that_is_refused_costs_nobody_his_channel(provider: Receiver) -> None:
    provider.answer = status(422, b'{"ErrorCode": 300, "Message": "Invalid \'From\' address: \'w@localhost\'."}')

    fault = fault_of()

    assert (fault.kind, fault.bounced, fault.whole_kind) == (ErrorKind.CONFIGURATION, False, False)


def test_a_success_in_words_that_cannot_be_read_may_have_delivered(provider: Receiver) -> None:
    provider.answer = status(200, b'{"Messages": "taken"}')

    assert fault_of().unknown


def test_a_connection_that_is_lost_may_have_delivered(provider: Receiver) -> None:
    provider.answer = None

    assert fault_of().unknown


def test_a_provider_that_cannot_be_reached_pauses_the_kind(provider: Receiver, settings: Any) -> None:
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "token", "POSTMARK_API_URL": "http://127.0.0.1:1/"}

    fault = fault_of()

    assert (fault.kind, fault.whole_kind, fault.unknown) == (ErrorKind.TRANSIENT, True, False)


@pytest.mark.parametrize("fault", [AnymailSerializationError("a date"), AnymailUnsupportedFeature("two bodies")])
def test_a_mail_that_cannot_be_said_to_the_provider_stops_no_other(fault: Exception) -> None:
    typed = judge(fault)

    assert (typed.kind, typed.whole_kind, typed.bounced) == (ErrorKind.CONFIGURATION, False, False)


def test_a_missing_key_is_the_configuration_s_fault(settings: Any) -> None:
    settings.ANYMAIL = {}

    fault = fault_of()

    assert (fault.kind, fault.whole_kind) == (ErrorKind.CONFIGURATION, True)
