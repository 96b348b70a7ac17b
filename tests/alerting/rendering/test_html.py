"""The layout: MJML once, never with a value in it."""

from __future__ import annotations

import pytest

from alerting.rendering import html
from alerting.rendering.html import LayoutFault, compile_layout
from alerting.rendering.messages import render_realtime
from tests.alerting.rendering.samples import realtime


def test_mjml_runs_once_however_many_messages_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = html.compile_layout
    monkeypatch.setattr(html, "compile_layout", lambda source: calls.append(source) or real(source))
    html._layout.cache_clear()

    for _ in range(3):
        render_realtime(realtime())

    assert len(calls) == 1


def test_broken_mjml_is_a_fault_of_the_layout() -> None:
    with pytest.raises(LayoutFault, match="message"):
        compile_layout("<mjml><mj-body><mj-text></mj-body></mjml>")
