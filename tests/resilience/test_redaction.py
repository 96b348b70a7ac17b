from __future__ import annotations

import pytest

from resilience.redaction import redact, redact_text


@pytest.mark.parametrize(
    "text",
    [
        "POST https://hooks.slack.com/services/T1/B2/hush failed",
        "token xoxb-123456-hush",
        "postgresql://wk:hush@db.example/watchkeeper",
        "smtp password=hush refused",
        'headers {"Authorization": "Bearer hush"}',
    ],
)
def test_a_secret_inside_a_text_is_hidden(text: str) -> None:
    assert "hush" not in redact_text(text)


def test_ordinary_text_stays() -> None:
    text = "Vessel A&B at https://example.org/x?y=1, 12:30, mail a@b.example"

    assert redact_text(text) == text


def test_secrets_are_hidden_by_the_name_of_their_key_at_any_depth() -> None:
    event = {"user": "ana", "channel": {"secret": "hush", "webhook_url": "hush"}, "claim_token": "abc"}

    assert redact(event) == {
        "user": "ana",
        "channel": {"secret": "[redacted]", "webhook_url": "[redacted]"},
        "claim_token": "abc",
    }
