"""Messages: from facts to subject, text and HTML. No database, no clock, no network."""

from __future__ import annotations

from alerting.rendering.lateness import late_add
from alerting.rendering.messages import (
    render_digest,
    render_disabled,
    render_realtime,
    render_summary,
    render_test,
)
from alerting.rendering.rule_templates import TemplateFault, validate_template

__all__ = [
    "TemplateFault",
    "late_add",
    "render_digest",
    "render_disabled",
    "render_realtime",
    "render_summary",
    "render_test",
    "validate_template",
]
