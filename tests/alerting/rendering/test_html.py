"""The layout: MJML once, never with a value in it."""

from __future__ import annotations

import pytest

from alerting.rendering import html
from alerting.rendering.html import LayoutFault, compile_layout
from alerting.rendering.messages import render_realtime
from tests.alerting.rendering.samples import everything, realtime


def test_mjml_runs_once_however_many_messages_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = html.compile_layout
    monkeypatch.setattr(html, "compile_layout", lambda source: calls.append(source) or real(source))
    html._layout.cache_clear()

    for _ in range(3):
        render_realtime(realtime())

    assert len(calls) == 1


@pytest.mark.parametrize("name", sorted(everything()))
def test_no_line_is_too_long_for_a_mail_to_carry_as_it_is(name: str) -> None:
    written = everything()[name].html

    assert max(len(line.encode("ascii", "xmlcharrefreplace")) for line in written.split("\n")) <= 998


def test_broken_mjml_is_a_fault_of_the_layout() -> None:
    with pytest.raises(LayoutFault, match="message"):
        compile_layout("<mjml><mj-body><mj-text></mj-body></mjml>")
