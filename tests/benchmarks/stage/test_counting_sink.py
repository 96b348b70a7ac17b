"""Tests of the server that counts: commands in any pieces, dots, and Message-IDs."""

from __future__ import annotations

import smtplib
import socket
from pathlib import Path

from benchmarks.stage.counting_sink import CountingSink


def test_each_mail_is_kept_by_its_message_id_before_it_is_answered(tmp_path: Path) -> None:
    with CountingSink(tmp_path) as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        for name in ("<a@x>", "<b@x>", "<a@x>"):
            client.sendmail("from@x", ["to@x"], f"Message-ID: {name}\r\nSubject: s\r\n\r\n.a dot\r\n")
        taken = [each.message_id for each in sink.taken()]

    assert taken == ["<a@x>", "<b@x>", "<a@x>"]


def test_a_pipelined_envelope_in_odd_pieces_is_one_mail(tmp_path: Path) -> None:
    script = b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nMessage-ID: <c@x>\r\n\r\nhello\r\n.\r\nQUIT\r\n"

    with CountingSink(tmp_path) as sink:
        with socket.create_connection(("127.0.0.1", sink.port), timeout=5) as client:
            for start in range(0, len(script), 7):
                client.sendall(script[start : start + 7])
            said = b"".join(iter(lambda: client.recv(4096), b""))
        taken = [each.message_id for each in sink.taken()]

    assert taken == ["<c@x>"]
    assert b"354" in said
    assert b"221" in said


def test_a_mail_that_is_cut_off_does_not_count(tmp_path: Path) -> None:
    with CountingSink(tmp_path) as sink:
        with socket.create_connection(("127.0.0.1", sink.port), timeout=5) as client:
            client.sendall(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nMessage-ID: <c@x>\r\n\r\nhel")
        taken = list(sink.taken())

    assert taken == []


def test_a_line_that_is_read_while_it_is_written_counts_once_it_is_whole(tmp_path: Path) -> None:
    with CountingSink(tmp_path) as sink, sink._file.open("a", encoding="utf-8", newline="") as file:
        print("1.5 <a>\n2.5 <b", end="", file=file, flush=True)
        assert [taken.message_id for taken in sink.taken()] == ["<a>"]
        print("c>", file=file, flush=True)
        assert [(taken.at, taken.message_id) for taken in sink.taken()] == [(1.5, "<a>"), (2.5, "<bc>")]
