"""From facts to messages: the one place that a send cycle calls."""

from __future__ import annotations

from alerting.rendering.facts import DigestFacts, RealtimeFacts, Rendered, SummaryFacts, TestFacts


def render_realtime(facts: RealtimeFacts, *, template: str | None = None) -> Rendered:
    """One alert. `template` is the rule's own; without it (or with an empty one) the built-in sentence is used.

    Raises `TemplateFault` when the rule's own template fails: call again without it.
    """
    raise NotImplementedError


def render_digest(facts: DigestFacts) -> Rendered:
    """All alerts of a window, by rule and area. An item that cannot be rendered is told by the built-in sentence
    and named in `problems`."""
    raise NotImplementedError


def render_summary(facts: SummaryFacts) -> Rendered:
    """What was not sent in time, and why."""
    raise NotImplementedError


def render_test(facts: TestFacts) -> Rendered:
    """A message that only proves that a channel works."""
    raise NotImplementedError
