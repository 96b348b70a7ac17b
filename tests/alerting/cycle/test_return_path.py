"""The envelope of each mail names its own return address; the header From stays."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.bounces.addresses import message_of
from alerting.models import Message
from tests.alerting.cycle.conftest import Post
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_mail_has_a_return_address_of_its_own(post: Post, smtp_server: SmtpServer, settings: Any) -> None:
    settings.BOUNCE_ADDRESS, settings.MAIL_FROM = "bounces@watch.example", "Kahu <alerts@watch.example>"
    post.alert()

    post.cycle()

    (mail,) = smtp_server.mails
    assert message_of(mail.sender) == Message.objects.get().pk
    assert mail.parsed["From"] == "Kahu <alerts@watch.example>"


def test_without_a_box_the_sender_is_that_of_all_mails(post: Post, smtp_server: SmtpServer, settings: Any) -> None:
    settings.BOUNCE_ADDRESS, settings.MAIL_FROM = "", "Kahu <alerts@watch.example>"
    post.alert()

    post.cycle()

    assert smtp_server.mails[0].sender == "alerts@watch.example"
