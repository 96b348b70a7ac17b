"""Tests of Postfix's sink as we run it: what it counts and how long it waits. Skipped where it is not installed."""

from __future__ import annotations

import smtplib
import statistics
import time

import pytest

from benchmarks.stage import smtp_sink
from benchmarks.stage.smtp_sink import NoSink, SmtpSink, sink_install


@pytest.mark.skipif(not smtp_sink._can_be_run(), reason="smtp-sink or a C compiler is not installed")
def test_it_counts_mails_and_waits_only_at_their_end() -> None:
    with SmtpSink(delay=0.02) as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.ehlo()
        envelopes, contents = [], []
        for _ in range(20):
            began = time.monotonic()
            for command in ("MAIL FROM:<a@x>", "RCPT TO:<b@x>", "DATA"):
                client.docmd(command)
            between = time.monotonic()
            client.send(b"Subject: s\r\n\r\nhello\r\n.\r\n")
            client.getreply()
            envelopes.append(between - began)
            contents.append(time.monotonic() - between)
        count = sink.count()

    assert count == 20
    assert statistics.median(envelopes) < 0.018 <= statistics.median(contents)


def test_without_a_compiler_the_bench_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_sink, "_sink", lambda: "/usr/sbin/smtp-sink")
    monkeypatch.setattr(smtp_sink.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(NoSink, match="gcc"):
        sink_install()


def test_without_it_and_without_the_right_to_install_it_the_bench_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_sink, "_sink", lambda: None)
    monkeypatch.setattr(smtp_sink.os, "geteuid", lambda: 1000)

    with pytest.raises(NoSink, match="postfix"):
        sink_install()
