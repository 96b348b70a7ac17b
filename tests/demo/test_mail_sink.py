"""Tests of the demo's mail server and its page, over real SMTP and HTTP."""

from __future__ import annotations

import http.client
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

from demo.mail_page import MAIL_POLICY
from demo.mail_sink import KEPT, Mailbox
from demo.supervisor import _free_port

REFUSED = "ben@kahu.example"


@dataclass
class Sink:
    smtp: int
    page: int

    def send(self, to: str, subject: str = "Hello", html: str = "<p>hi</p>") -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "watch@kahu.example", to, subject
        message.set_content("plain words")
        message.add_alternative(html, subtype="html")
        with smtplib.SMTP("127.0.0.1", self.smtp, timeout=10) as server:
            server.send_message(message)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
        connection = http.client.HTTPConnection("localhost", self.page, timeout=10)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    ports = Sink(_free_port(), _free_port())
    command = [sys.executable, "-m", "demo.mail_sink", "--smtp-port", str(ports.smtp), "--page-port", str(ports.page)]
    command += ["--folder", str(tmp_path_factory.mktemp("mails")), "--refuse", REFUSED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield ports
        process.terminate()
        assert process.wait(10) == 0


def test_a_mail_is_taken_and_listed(sink: Sink) -> None:
    sink.send("ana@kahu.example", "Vessel seen")

    status, page, _ = sink.ask("/")

    assert status == 200
    assert "Vessel seen" in page


def test_a_mail_is_shown_in_a_sandbox_that_loads_nothing(sink: Sink) -> None:
    sink.send("ana@kahu.example", "With a script", "<script>alert(1)</script><p>body</p>")
    number = sink.ask("/")[1].split("/mails/")[1].split('"')[0]

    _, page, _ = sink.ask(f"/mails/{number}")
    _, body, headers = sink.ask(f"/mails/{number}/html")

    assert '<iframe title="The mail" sandbox=' in page
    assert "<script>" not in page
    assert "<p>body</p>" in body
    assert headers["Content-Security-Policy"] == MAIL_POLICY


def test_a_subject_cannot_break_out_of_the_page(sink: Sink) -> None:
    sink.send("ana@kahu.example", "<b>bold</b>")

    assert "&lt;b&gt;bold" in sink.ask("/")[1]


def test_one_address_is_refused_until_it_is_let_in(sink: Sink) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        sink.send(REFUSED)
    status, _, _ = sink.ask("/let-in", "POST")
    sink.send(REFUSED, "After all")

    assert refusal.value.recipients[REFUSED][0] == 554
    assert status == 303
    assert "After all" in sink.ask("/")[1]


def test_another_sites_name_and_form_are_turned_away(sink: Sink) -> None:
    assert sink.ask("/", Host=f"evil.example:{sink.page}")[0] == 403
    assert sink.ask("/refuse", "POST", Origin="http://evil.example")[0] == 403


def test_a_mail_that_is_not_there_is_said_to_be_gone(sink: Sink) -> None:
    assert sink.ask("/mails/99999")[0] == 404
    assert sink.ask("/elsewhere")[0] == 404


def test_the_oldest_mails_leave(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path, "")
    for number in range(1, KEPT + 1):
        (tmp_path / f"{number}.eml").write_bytes(b"Subject: x\r\n\r\n")

    newest = mailbox.keep(b"Subject: newest\r\n\r\n")

    assert newest == KEPT + 1
    assert mailbox.numbers()[0] == KEPT + 1
    assert mailbox.numbers()[-1] == 2


def test_mails_outlive_the_server(tmp_path: Path) -> None:
    Mailbox(tmp_path, "").keep(b"Subject: kept\r\n\r\nbody")

    (mail,) = Mailbox(tmp_path, "").newest(10)

    assert str(mail.message["Subject"]) == "kept"
    assert time.time() - (tmp_path / "1.eml").stat().st_mtime < 60
