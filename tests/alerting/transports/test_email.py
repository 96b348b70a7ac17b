"""Mails over a real connection: their bytes, the ways to secure it, and what goes wrong with it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from alerting.models import ErrorKind
from alerting.transports import Outgoing, TransportError, transport_for
from alerting.transports.email import EmailTransport, SmtpSettings
from alerting.transports.email.mime import mail_bytes, sender_address
from tests.smtp_server import SmtpServer, password_check

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def outgoing(**changes: Any) -> Outgoing:
    return Outgoing(
        **{
            "message_id": "<abc@watch.example>",
            "address": "ana@moana.example",
            "subject": "Vessel Endeavour has entered area Gulf",
            "text": "one\n.two\n\nthree – ō",
            "html": "<p>one</p>",
            "unsubscribe_url": "https://watch.example/unsubscribe/x/",
            "at": NOW,
        }
        | changes
    )


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    running = SmtpServer().start()
    yield running
    running.stop()


def mailer(server: SmtpServer, **changes: Any) -> EmailTransport:
    options = {"host": "127.0.0.1", "port": server.port, "timeout": 5.0} | changes
    context = options.pop("tls_context", ssl.create_default_context)
    return EmailTransport(SmtpSettings(**options), tls_context=context)


def soon(seconds: float = 10) -> float:
    return time.monotonic() + seconds


def test_many_mails_share_one_connection_and_arrive_unchanged(server: SmtpServer) -> None:
    transport = mailer(server)
    for number in range(5):
        assert transport.send(outgoing(message_id=f"<{number}@w>"), deadline=soon()).startswith("250")
    transport.close()

    assert server.connections == 1
    mail = server.mails[0]
    assert mail.text.replace("\r\n", "\n").rstrip("\n") == "one\n.two\n\nthree – ō"
    assert mail.parsed["Date"].datetime == NOW
    assert mail.parsed["List-Unsubscribe"] == "<https://watch.example/unsubscribe/x/>"
    assert mail.parsed["From"].addresses[0].display_name == "Watchkeeper"


def test_html_of_any_letters_leaves_as_plain_ascii(server: SmtpServer) -> None:
    said = '<p title="ō">36°30′ S – Ōtara, Владивосток, 🚢 &amp; &lt;b&gt;</p>\n'
    transport = mailer(server)
    transport.send(outgoing(html=said), deadline=soon())
    transport.close()

    part = server.mails[0].parsed.get_body(("html",))

    assert part["Content-Transfer-Encoding"] == "7bit"
    assert part.get_content().replace("\r\n", "\n") == said.encode("ascii", "xmlcharrefreplace").decode()


def test_html_with_a_line_too_long_for_a_mail_is_encoded(server: SmtpServer) -> None:
    said = f"<p>{'Ō' * 200} {'x' * 997}</p>\n"
    transport = mailer(server)
    transport.send(outgoing(html=said), deadline=soon())
    transport.close()

    part = server.mails[0].parsed.get_body(("html",))

    assert part["Content-Transfer-Encoding"] == "quoted-printable"
    assert unescape(part.get_content().replace("\r\n", "\n")) == said


@pytest.mark.parametrize("field", ["subject", "message_id", "unsubscribe_url"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00", "\u2028", "\x85"])
def test_no_text_can_add_a_header(field: str, end: str) -> None:
    hostile = outgoing(**{field: f"x{end}Bcc: thief@example.org{end}{end}body"})

    content = mail_bytes(hostile, sender=sender_address("Watchkeeper <w@localhost>"), recipient="a@b.example")

    head = content.split(b"\r\n\r\n")[0]
    assert not any(line.lower().startswith(b"bcc") for line in head.replace(b"\r", b"\n").split(b"\n"))


@pytest.mark.parametrize("address", ["a@b.c\nBcc: x@y.z", "", "nobody", "a@b.c, d@e.f", "a b@c.d", "ä@b.c", "a@b."])
def test_what_is_not_one_address_is_refused_for_good(address: str, server: SmtpServer) -> None:
    with pytest.raises(TransportError) as caught:
        mailer(server).send(outgoing(address=address), deadline=soon())

    assert caught.value.kind == ErrorKind.PERMANENT
    assert not server.mails


def test_a_host_of_other_letters_is_written_as_dns_knows_it(server: SmtpServer) -> None:
    mailer(server).send(outgoing(address="ana@bücher.example"), deadline=soon())

    assert server.mails[0].to == ["ana@xn--bcher-kva.example"]
    assert server.mails[0].parsed["To"] == "ana@xn--bcher-kva.example"


def test_the_way_out_stands_in_headers_that_mail_programs_know(server: SmtpServer) -> None:
    mailer(server).send(outgoing(), deadline=soon())

    mail = server.mails[0].parsed
    assert mail["List-Unsubscribe"] == "<https://watch.example/unsubscribe/x/>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize("url", ["", "https://watch.example/unsubscribe/" + "x" * 1000])
def test_there_is_no_half_of_a_way_out(url: str, server: SmtpServer) -> None:
    """A line longer than RFC 5322 allows would be broken somewhere on its way; the text has the link in any case."""
    mailer(server).send(outgoing(unsubscribe_url=url), deadline=soon())

    assert server.mails[0].parsed["List-Unsubscribe"] is None
    assert server.mails[0].parsed["List-Unsubscribe-Post"] is None


def test_a_refused_recipient_costs_the_next_mail_nothing(server: SmtpServer) -> None:
    server.rcpt_answers["bad@moana.example"] = "550 5.1.1 no such user"
    transport = mailer(server)

    with pytest.raises(TransportError) as caught:
        transport.send(outgoing(address="bad@moana.example"), deadline=soon())
    transport.send(outgoing(), deadline=soon())
    transport.close()

    assert caught.value.bounced
    assert caught.value.answer == "550 5.1.1 no such user"
    assert (len(server.mails), server.connections) == (1, 1)


def test_a_connection_lost_after_data_is_unknown_and_opened_again(server: SmtpServer) -> None:
    server.drop_after_data["ana@moana.example"] = 1
    transport = mailer(server)

    with pytest.raises(TransportError) as caught:
        transport.send(outgoing(), deadline=soon())
    transport.send(outgoing(), deadline=soon())
    transport.close()

    assert (caught.value.unknown, caught.value.kind) == (True, ErrorKind.TRANSIENT)
    assert not caught.value.whole_kind
    assert list(server.message_ids().values()) == [2]


def test_a_connection_that_had_its_number_of_mails_costs_no_attempt(server: SmtpServer) -> None:
    server.most_mails = 2
    transport = mailer(server)

    for number in range(5):
        transport.send(outgoing(message_id=f"<{number}@w>"), deadline=soon())
    transport.close()

    assert sorted(server.message_ids().values()) == [1] * 5
    assert server.connections == 3


def test_a_connection_that_went_away_while_it_waited_costs_no_attempt(server: SmtpServer) -> None:
    transport = mailer(server)
    transport.send(outgoing(message_id="<1@w>"), deadline=soon())
    server.stop()
    server.start()

    transport.send(outgoing(message_id="<2@w>"), deadline=soon())
    transport.close()

    assert list(server.message_ids()) == ["<1@w>", "<2@w>"]


def test_a_new_connection_that_is_closed_at_once_is_not_tried_for_ever(server: SmtpServer) -> None:
    server.rcpt_answers["ana@moana.example"] = "421 4.3.2 going down"
    transport = mailer(server)
    transport.send(outgoing(address="ben@moana.example"), deadline=soon())

    with pytest.raises(TransportError) as caught:
        transport.send(outgoing(), deadline=soon())
    transport.close()

    assert caught.value.answer == "421 4.3.2 going down"
    assert server.connections == 2


def test_a_server_that_trickles_is_cut_off_at_the_deadline() -> None:
    """Each read succeeds, so smtplib's own time-out never fires."""
    listener = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        client, _ = listener.accept()
        try:
            while True:
                client.send(b"2")
                time.sleep(0.2)
        except OSError:
            client.close()

    threading.Thread(target=trickle, daemon=True).start()
    transport = EmailTransport(SmtpSettings(host="127.0.0.1", port=listener.getsockname()[1], timeout=5))

    began = time.monotonic()
    with pytest.raises(TransportError) as caught:
        transport.send(outgoing(), deadline=soon(1))
    listener.close()
    transport.close()

    assert time.monotonic() - began < 10
    assert caught.value.kind == ErrorKind.TRANSIENT


def test_a_refused_connection_waits_and_an_unknown_host_wants_mending() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(TransportError) as refused:
        EmailTransport(SmtpSettings(host="127.0.0.1", port=port)).send(outgoing(), deadline=soon())
    with pytest.raises(TransportError) as unknown:
        EmailTransport(SmtpSettings(host="mail.invalid", port=25)).send(outgoing(), deadline=soon())

    assert (refused.value.kind, refused.value.whole_kind) == (ErrorKind.TRANSIENT, True)
    assert unknown.value.whole_kind
    assert unknown.value.kind == ErrorKind.CONFIGURATION


def test_dns_that_is_out_of_reach_comes_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", away)

    with pytest.raises(TransportError) as caught:
        EmailTransport(SmtpSettings(host="mail.example", port=25)).send(outgoing(), deadline=soon())

    assert (caught.value.kind, caught.value.whole_kind) == (ErrorKind.TRANSIENT, True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {key} -out {cert} -days 2"
        " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1",
        shell=True,
        check=True,
        capture_output=True,
    )
    return key, cert


def tls_server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate[1], certificate[0])
    return context


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_secured_connection_with_a_password(tls: str, certificate: tuple[Path, Path]) -> None:
    context = tls_server_context(certificate)
    options: dict[str, Any] = {"authenticator": password_check("watch", "hush"), "auth_required": True}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    else:
        options |= {"auth_require_tls": False}
    server = SmtpServer(options=options, implicit_tls=context if tls == "implicit" else None).start()
    trusting = {"tls": tls, "tls_context": lambda: ssl.create_default_context(cafile=str(certificate[1]))}

    good = mailer(server, user="watch", password="hush", **trusting)
    answer = good.send(outgoing(), deadline=soon())
    good.close()
    with pytest.raises(TransportError) as wrong_password:
        mailer(server, user="watch", password="wrong", **trusting).send(outgoing(), deadline=soon())
    with pytest.raises(TransportError) as not_trusted:
        mailer(server, user="watch", password="hush", tls=tls).send(outgoing(), deadline=soon())
    server.stop()

    assert answer.startswith("250")
    for caught in (wrong_password, not_trusted):
        assert (caught.value.kind, caught.value.whole_kind) == (ErrorKind.CONFIGURATION, True)


@pytest.mark.parametrize("offered", ["AUTH PLAIN LOGIN", "AUTH GSSAPI", "SIZE 1000"])
def test_a_sign_in_that_cannot_be_made_wants_mending(offered: str) -> None:
    """A password that SMTP cannot say, no mechanism that we know, no sign-in at all: none leaves, so none fails."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_says_hello, args=(listener, offered), daemon=True).start()
        to = SmtpSettings(host="127.0.0.1", port=listener.getsockname()[1], user="watch", password="zażółć")

        with pytest.raises(TransportError) as caught:
            EmailTransport(to).send(outgoing(), deadline=soon())

    assert (caught.value.kind, caught.value.whole_kind) == (ErrorKind.CONFIGURATION, True)
    assert "zażółć" not in f"{caught.value} {caught.value.answer}"


def _says_hello(listener: socket.socket, offered: str) -> None:
    client, _ = listener.accept()
    with client:
        client.sendall(b"220 here\r\n")
        while client.recv(1000):
            client.sendall(f"250-here\r\n250 {offered}\r\n".encode())


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_handshake_that_hangs_is_cut_off_at_the_deadline(tls: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_never_shakes_hands, args=(listener, tls), daemon=True).start()
        to = SmtpSettings(host="127.0.0.1", port=listener.getsockname()[1], tls=tls, timeout=60)
        transport = EmailTransport(to)

        began = time.monotonic()
        with pytest.raises(TransportError) as caught:
            transport.send(outgoing(), deadline=soon(1))
        transport.close()

    assert time.monotonic() - began < 20  # its own time-out: 60 s
    assert caught.value.kind == ErrorKind.TRANSIENT


def _never_shakes_hands(listener: socket.socket, tls: str) -> None:
    client, _ = listener.accept()
    with client:
        if tls == "starttls":
            client.sendall(b"220 here\r\n")
            client.recv(1000)
            client.sendall(b"250-here\r\n250 STARTTLS\r\n")
            client.recv(1000)
            client.sendall(b"220 go on\r\n")
        while client.recv(1000):
            pass


def test_starttls_is_never_left_out_in_silence(server: SmtpServer) -> None:
    with pytest.raises(TransportError) as caught:
        mailer(server, tls="starttls").send(outgoing(), deadline=soon())

    assert caught.value.kind == ErrorKind.CONFIGURATION
    assert not server.mails


def test_a_kind_that_nothing_carries_fails_with_a_clear_reason() -> None:
    with pytest.raises(TransportError, match="cannot send to channels of the kind 'pigeon'") as caught:
        transport_for("pigeon").send(outgoing(), deadline=soon())

    assert caught.value.kind == ErrorKind.PERMANENT


@contextmanager
def silence(address: str, port: int = 0) -> Iterator[int]:
    """A port whose queue is full: whoever comes now hears nothing."""
    with ExitStack() as opened:
        full = opened.enter_context(socket.socket())
        full.bind((address, port))
        full.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def lead(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """These are what DNS says of mail.test."""
    found = [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 25))
        for address in addresses
    ]
    asked = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *args, **more: found if host == "mail.test" else asked(host, *args, **more)
    )


def test_addresses_that_let_us_wait_are_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    lead(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.3")
    with silence("0.0.0.0") as port:
        transport = EmailTransport(SmtpSettings(host="mail.test", port=port, timeout=20))
        began = time.monotonic()

        with pytest.raises(TransportError, match="did not answer in time") as raised:
            transport.send(outgoing(), deadline=began + 0.5)

    assert time.monotonic() - began < 10  # three times the time-out would be a minute
    assert (raised.value.kind, raised.value.whole_kind) == (ErrorKind.TRANSIENT, True)
    transport.close()


def test_an_address_that_lets_us_wait_leaves_time_for_the_next(
    server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(monkeypatch, "127.0.0.2", "127.0.0.1")
    with silence("127.0.0.2", server.port):
        transport = mailer(server, host="mail.test", timeout=60.0)

        transport.send(outgoing(), deadline=soon(4))
    transport.close()

    assert len(server.mails) == 1


def test_a_host_is_reached_by_the_address_that_takes_us(server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    lead(monkeypatch, "::1", "127.0.0.2", "127.0.0.1")
    transport = mailer(server, host="mail.test")

    transport.send(outgoing(), deadline=soon())
    transport.close()

    assert len(server.mails) == 1


def test_a_connection_that_comes_with_the_deadline_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.create_connection

    def late(*args: Any, **more: Any) -> socket.socket:
        connected = connect(*args, **more)
        time.sleep(0.7)
        return connected

    monkeypatch.setattr(socket, "create_connection", late)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        transport = EmailTransport(SmtpSettings(host="127.0.0.1", port=mute.getsockname()[1], timeout=20))
        began = time.monotonic()

        with pytest.raises(TransportError, match="did not answer in time"):
            transport.send(outgoing(), deadline=began + 0.5)

    assert time.monotonic() - began < 10  # its time-out: 20 s
    transport.close()


def test_a_resolver_that_hangs_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: let_go.wait(30))
    transport = EmailTransport(SmtpSettings(host="mail.test", port=25, timeout=20))
    began = time.monotonic()

    with pytest.raises(TransportError, match="did not answer in time") as raised:
        transport.send(outgoing(), deadline=began + 0.5)

    assert time.monotonic() - began < 10
    assert (raised.value.kind, raised.value.whole_kind) == (ErrorKind.TRANSIENT, True)
    let_go.set()
    transport.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_server_that_falls_silent_behind_tls_is_left_after_the_time_out(
    tls: str, certificate: tuple[Path, Path]
) -> None:
    context = tls_server_context(certificate)
    options: dict[str, Any] = {"tls_context": context} if tls == "starttls" else {}
    server = SmtpServer(options=options, implicit_tls=context if tls == "implicit" else None).start()
    server.hang.add("ana@moana.example")
    trusting = {"tls": tls, "tls_context": lambda: ssl.create_default_context(cafile=str(certificate[1]))}
    transport = mailer(server, timeout=1.0, **trusting)
    began = time.monotonic()

    with pytest.raises(TransportError) as raised:
        transport.send(outgoing(), deadline=soon(60))

    assert time.monotonic() - began < 20
    assert (raised.value.kind, raised.value.unknown) == (ErrorKind.TRANSIENT, True)
    transport.close()
    server.stop()
