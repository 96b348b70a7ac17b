"""A Slack for tests: that of the game day.

def test_x(slack_server, settings):
    settings.SLACK_WEBHOOK_URL = slack_server.url
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerting.gameday.slack_server import SlackServer

__all__ = ["SlackServer", "slack_server"]


@pytest.fixture
def slack_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    """A running server; slack-sdk reaches it directly whatever proxy the environment names."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = SlackServer()
    yield server
    server.close()
