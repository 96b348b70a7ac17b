"""Tests of the client that shows what one bare process carries."""

from __future__ import annotations

import pytest

from benchmarks.sender.bare import Refused, answers_to, pieces
from benchmarks.sender.mails import mail
from tests.smtp_server import SmtpServer


def test_every_mail_arrives_once_over_several_connections(smtp_server: SmtpServer) -> None:
    mails = [mail(number) for number in range(20)]

    answers = answers_to(map(pieces, mails), port=smtp_server.port, connections=3)

    assert [answer[:3] for answer in answers] == 20 * [b"250"]
    assert sorted(arrived.to[0] for arrived in smtp_server.mails) == sorted(one.address for one in mails)


def test_a_refusal_is_an_answer_too(smtp_server: SmtpServer) -> None:
    smtp_server.data_answers[mail(1).address] = "550 5.7.1 no"

    assert [answer[:3] for answer in answers_to([pieces(mail(1))], port=smtp_server.port, connections=1)] == [b"550"]


def test_a_refused_envelope_ends_it_with_the_servers_words(smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_answers[mail(1).address] = "550 5.1.1 nobody"

    with pytest.raises(Refused, match="nobody"):
        answers_to([pieces(mail(1))], port=smtp_server.port, connections=1)
