"""A real SMTP server for tests, which can be told to misbehave: that of the game day.

def test_x(smtp_server):
    smtp_server.rcpt_answers["bad@example.org"] = "550 5.1.1 no such user"
    …
    assert smtp_server.mails[0].to == ["ana@example.org"]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from alerting.gameday.smtp_server import Mail, SmtpServer, password_check

__all__ = ["Mail", "SmtpServer", "password_check", "smtp_server"]


@pytest.fixture
def smtp_server(settings: Any) -> Iterator[SmtpServer]:
    """A server that the settings point at, gone after the test."""
    server = SmtpServer().start()
    settings.SMTP_HOST, settings.SMTP_PORT, settings.SMTP_TLS = "127.0.0.1", server.port, "none"
    yield server
    server.stop()
