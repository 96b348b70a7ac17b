from __future__ import annotations

from datetime import UTC, datetime

from resilience.slack_messages import LISTED, News, compose

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def news(kind: str = "panic", summary: str = "broken", **more: object) -> News:
    return News(kind, "error", summary, 1, NOON, NOON, **more)  # type: ignore[arg-type]


def test_hostile_text_is_escaped_and_mentions_nobody() -> None:
    text = compose([news(summary="<!channel> <@U1> @here & ```", traceback="</x> ``` @everyone")], installation="t")

    assert "&lt;!channel&gt; &lt;@U1&gt;" in text
    assert "<" not in text
    assert "@here" not in text
    assert "@everyone" not in text
    assert text.count("```") == 2


def test_many_incidents_become_one_message() -> None:
    text = compose([news(kind=f"kind_{n}") for n in range(LISTED + 5)], installation="t")

    assert f"{LISTED + 5} incidents" in text
    assert "and 5 more" in text
    assert f"kind_{LISTED}" not in text


def test_an_update_does_not_repeat_the_traceback() -> None:
    text = compose([news(traceback="Traceback", told_before=True)], installation="t")

    assert "Traceback" not in text


def test_a_resolved_incident_says_by_whom() -> None:
    assert "Resolved by ana@moana.example" in compose([news(resolved_by="ana@moana.example")], installation="t")
