"""Messages: from facts to subject, text and HTML. No database, no clock, no network."""

from __future__ import annotations

from alerting.rendering.messages import render_digest, render_realtime, render_summary, render_test
from alerting.rendering.rule_templates import TemplateFault, validate_template

__all__ = [
    "TemplateFault",
    "render_digest",
    "render_realtime",
    "render_summary",
    "render_test",
    "validate_template",
]
