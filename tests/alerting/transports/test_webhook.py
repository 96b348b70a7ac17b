"""Webhooks: what a receiver gets, how it is guarded, and what its answers mean."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from accounts.channels import new_secret
from alerting.models import ErrorKind
from alerting.rendering.facts import Alert, Kind, Vessel
from alerting.transports import NotHandedOver, Outgoing, TransportError, nothing
from alerting.transports.addresses import Guard
from alerting.transports.look_up import dns_answers
from alerting.transports.posting import LONGEST_ANSWER, Poster, retry_after
from alerting.transports.webhook import WebhookTransport
from alerting.transports.webhook.body import body_bytes, event, webhook_id
from tests.alerting.transports.http_receiver import Receiver, drips, receiving, status

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOOPBACK = Guard((ip_network("127.0.0.0/8"), ip_network("::1/128")))
SECRET = new_secret()
ENTERED = Alert(
    kind=Kind.ENTERED,
    vessel=Vessel(mmsi=2320001, name="ENDEAVOUR ☸", flag="New Zealand"),
    area="Gulf",
    rule="Anybody enters",
    occurred_at=NOW,
    detected_at=NOW + timedelta(seconds=2),
    link="https://watch.example/notifications/7/",
    lon=174.5,
    lat=-36.5,
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def outgoing(address: str, secrets: tuple[str, ...] = (SECRET,)) -> Outgoing:
    return Outgoing(
        message_id="<5f1c@watch.example>",
        address=address,
        subject="ENDEAVOUR entered Gulf",
        text="ENDEAVOUR entered Gulf.",
        html="",
        unsubscribe_url="",
        at=NOW,
        kind="realtime",
        due_at=NOW,
        link=ENTERED.link,
        events=(ENTERED,),
        secrets=secrets,
    )


def send(
    address: str,
    *,
    seconds: float = 5,
    guard: Guard = LOOPBACK,
    resolve: Callable[[str, int], Sequence[str]] = dns_answers,
    handover: Callable[[], None] = nothing,
    secrets: tuple[str, ...] = (SECRET,),
) -> str:
    transport = WebhookTransport(guard, resolve=resolve)
    try:
        return transport.send(outgoing(address, secrets), deadline=time.monotonic() + seconds, handover=handover)
    finally:
        transport.close()


def fault_of(address: str, *, seconds: float = 5, guard: Guard = LOOPBACK) -> TransportError:
    with pytest.raises(TransportError) as caught:
        send(address, seconds=seconds, guard=guard)
    return caught.value


def test_a_receiver_gets_what_the_documentation_promises(receiver: Receiver) -> None:
    assert send(receiver.url(path="/hook?key=1")) == "200 ok"

    (request,) = receiver.requests
    assert request.line == "POST /hook?key=1 HTTP/1.1"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    said = json.loads(request.body)
    assert (said["type"], said["timestamp"]) == ("watchkeeper.realtime", "2026-03-01T12:00:00.000Z")
    assert said["data"]["subject"] == "ENDEAVOUR entered Gulf"
    (told,) = said["data"]["events"]
    assert (told["kind"], told["mmsi"], told["area"]) == ("entered", "002320001", "Gulf")
    assert told["vessel"]["name"] == "ENDEAVOUR ☸"
    assert told["position"] == {"lon": 174.5, "lat": -36.5, "speed": None, "course": None}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('"}],"x":1}', '"}],"x":1}'),
        ("A\r\nBcc: x@example.com", "A Bcc: x@example.com"),
        ("<script>", "<script>"),
        ("ANA\u202e@@@ ", "ANA"),
        ("\x00\u202e", None),
        ("\ud83d", None),
        ("🚢", "🚢"),
        ("W" * 200, "W" * 79 + "…"),
    ],
)
def test_a_hostile_name_is_one_line_of_visible_characters_and_nothing_else(name: str, shown: str | None) -> None:
    hostile = replace(ENTERED, vessel=replace(ENTERED.vessel, name=name, call_sign=name))

    body = body_bytes(outgoing("http://127.0.0.1/")._replace(events=(hostile,)))

    (told,) = json.loads(body)["data"]["events"]
    assert told == event(ENTERED) | {"vessel": event(ENTERED)["vessel"] | {"name": shown, "call_sign": shown}}


def test_the_documentation_names_every_field() -> None:
    page = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text(encoding="utf-8")

    for name in [*event(ENTERED), *event(ENTERED)["vessel"], "due_at", "sent_at", "webhook-signature"]:
        assert f"`{name}`" in page or f'"{name}"' in page, name


def test_the_signature_verifies_and_another_secret_does_not(receiver: Receiver) -> None:
    send(receiver.url())

    (request,) = receiver.requests
    Webhook(SECRET).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(request.body, request.headers)


def test_while_a_secret_changes_both_verify(receiver: Receiver) -> None:
    new = new_secret()

    send(receiver.url(), secrets=(new, SECRET))

    for secret in (new, SECRET):
        Webhook(secret).verify(receiver.requests[0].body, receiver.requests[0].headers)


def test_a_channel_without_a_secret_is_told_so_and_nothing_leaves(receiver: Receiver) -> None:
    with pytest.raises(TransportError, match="no secret") as caught:
        send(receiver.url(), secrets=())

    assert caught.value.kind == ErrorKind.PERMANENT
    assert not receiver.requests


def test_repeats_carry_the_same_id(receiver: Receiver) -> None:
    send(receiver.url())
    send(receiver.url())

    assert [request.headers["webhook-id"] for request in receiver.requests] == ["msg_5f1c", "msg_5f1c"]
    assert webhook_id("<a.b c@d.example>") == "msg_a-b-c"


@pytest.mark.parametrize(
    ("code", "kind", "bounced"),
    [
        (301, ErrorKind.PERMANENT, False),
        (307, ErrorKind.PERMANENT, False),
        (400, ErrorKind.PERMANENT, False),
        (401, ErrorKind.PERMANENT, False),
        (404, ErrorKind.PERMANENT, False),
        (408, ErrorKind.TRANSIENT, False),
        (410, ErrorKind.PERMANENT, True),
        (429, ErrorKind.TRANSIENT, False),
        (500, ErrorKind.TRANSIENT, False),
        (503, ErrorKind.TRANSIENT, False),
    ],
)
def test_answers_have_their_kind(receiver: Receiver, code: int, kind: ErrorKind, bounced: bool) -> None:
    receiver.answer = status(code, b"no")

    fault = fault_of(receiver.url())

    assert (fault.kind, fault.bounced, fault.unknown, fault.whole_kind) == (kind, bounced, False, False)
    assert fault.answer == f"{code} no"


@pytest.mark.parametrize("code", [200, 201, 202, 204])
def test_every_2xx_is_a_success(receiver: Receiver, code: int) -> None:
    receiver.answer = status(code)

    assert send(receiver.url()) == str(code)


@pytest.mark.parametrize(("code", "wait"), [(429, 17.0), (503, 17.0), (500, None)])
def test_a_receiver_may_ask_to_be_left_alone(receiver: Receiver, code: int, wait: float | None) -> None:
    receiver.answer = status(code, Retry_After="17")

    assert fault_of(receiver.url()).retry_after == wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 90 ", 90.0),
        ("999999999999", 86_400.0),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, now=NOW) == seconds


def test_no_redirect_is_followed(receiver: Receiver) -> None:
    receiver.answer = status(302, Location=receiver.url(path="/elsewhere"))

    assert "redirects are not followed" in str(fault_of(receiver.url()))
    assert len(receiver.requests) == 1


def test_a_private_address_is_not_even_connected_to(receiver: Receiver) -> None:
    fault = fault_of(receiver.url(), guard=Guard())

    assert (fault.kind, fault.bounced) == (ErrorKind.PERMANENT, False)
    assert "not a public address" in str(fault)
    assert not receiver.requests


def test_a_name_is_looked_up_once_and_connected_to_by_number(receiver: Receiver) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    send(receiver.url("h.invalid"), resolve=rebinding)

    assert asked == ["h.invalid"]
    assert receiver.requests[0].headers["host"] == f"h.invalid:{receiver.port}"


def test_the_next_address_is_tried_when_one_does_not_answer(receiver: Receiver) -> None:
    assert send(receiver.url("h.invalid"), resolve=lambda host, port: ["::1", "127.0.0.1"]) == "200 ok"


def test_a_name_without_an_address_is_tried_again() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(TransportError, match="cannot be reached") as caught:
        send("https://h.invalid/", resolve=unknown)

    assert (caught.value.kind, caught.value.unknown) == (ErrorKind.TRANSIENT, False)


def test_a_closed_port_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    fault = fault_of(f"http://127.0.0.1:{port}/")

    assert (fault.kind, fault.unknown) == (ErrorKind.TRANSIENT, False)


def test_what_is_no_url_can_never_arrive() -> None:
    fault = fault_of("mailto:ana@moana.example")

    assert (fault.kind, fault.bounced) == (ErrorKind.PERMANENT, True)


def test_a_connection_lost_after_the_request_may_have_delivered(receiver: Receiver) -> None:
    receiver.answer = None

    fault = fault_of(receiver.url())

    assert (fault.kind, fault.unknown) == (ErrorKind.TRANSIENT, True)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 "])
def test_a_server_that_drips_ends_at_the_deadline(receiver: Receiver, start: bytes) -> None:
    receiver.answer = drips(start)
    began = time.monotonic()

    fault = fault_of(receiver.url(), seconds=0.6)

    assert time.monotonic() - began < 10
    assert (fault.kind, fault.unknown) == (ErrorKind.TRANSIENT, True)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_never_ends_after_the_status_takes_no_success_back(receiver: Receiver, start: bytes) -> None:
    receiver.answer = drips(start)

    assert send(receiver.url(), seconds=0.6).startswith("200")


def test_an_answer_is_read_to_a_few_kilobytes(receiver: Receiver) -> None:
    receiver.answer = status(200, b"x" * 5_000_000)
    poster = Poster(LOOPBACK)

    answer = poster.post(receiver.url(), b"", {}, deadline=time.monotonic() + 5, handover=nothing)
    poster.close()

    assert len(answer.body) == LONGEST_ANSWER


def test_a_message_that_is_kept_back_has_not_left(receiver: Receiver) -> None:
    def kept_back() -> None:
        raise NotHandedOver

    with pytest.raises(NotHandedOver):
        send(receiver.url(), handover=kept_back)

    assert not receiver.requests


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {key} -out {cert} -days 2"
        " -subj /CN=hook.example -addext subjectAltName=DNS:hook.example"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return key, cert


@pytest.fixture
def secured(certificate: tuple[Path, Path]) -> Iterator[Receiver]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate[1], certificate[0])
    with receiving(tls=context) as server:
        yield server


def post(url: str, trusted: Path, *, seconds: float = 5) -> int:
    poster = Poster(
        LOOPBACK,
        resolve=lambda host, port: ["127.0.0.1"],
        tls_context=lambda: ssl.create_default_context(cafile=str(trusted)),
    )
    try:
        return poster.post(url, b"{}", {}, deadline=time.monotonic() + seconds, handover=nothing).status
    finally:
        poster.close()


def test_the_certificate_is_that_of_the_name(secured: Receiver, certificate: tuple[Path, Path]) -> None:
    assert post(secured.url("hook.example"), certificate[1]) == 200

    with pytest.raises(TransportError, match="cannot be reached") as caught:
        post(secured.url("other.example"), certificate[1])
    assert (caught.value.kind, caught.value.unknown) == (ErrorKind.TRANSIENT, False)
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.answer


def test_a_handshake_that_drips_ends_at_the_deadline(certificate: tuple[Path, Path]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://hook.example:{listener.getsockname()[1]}/"
    began = time.monotonic()

    with pytest.raises(TransportError, match="did not answer in time") as caught:
        post(url, certificate[1], seconds=0.5)
    listener.close()

    assert time.monotonic() - began < 10
    assert not caught.value.unknown
