"""A letter as HTML: MJML made once into a Django template, then only that template for each message.

MJML sees the template's own text and placeholders, never a value. So no name can bring an MJML tag or Django syntax
with it, and a message costs one template rendering; values are escaped by Django where they land.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from pathlib import Path

import mrml
from django.template import Context, Engine, Template
from django.utils.safestring import SafeString

from alerting.rendering.letters import Letter, Section

TEMPLATES = Path(__file__).resolve().parent.parent.parent / "templates" / "messages"

# MJML writes one line of 11,000 characters. Broken at its blocks, where white space shows nowhere, it fits into a mail
# as it is (998 to a line: RFC 5322, section 2.1.1). Encoding it would cost half of what rendering does.
_BLOCK = re.compile(r"(?=<(?:table|tr|td|div|meta|style|body)\b)")

_engine = Engine(dirs=[], loaders=[], autoescape=True)


class LayoutFault(Exception):
    """The product's own MJML is broken: nothing to do with a message's values."""


def write_html(letter: Letter) -> str:
    """The letter as a whole HTML document."""
    sections = [(section.title, _rows(section)) for section in letter.sections]
    return _layout().render(Context({"letter": letter, "sections": sections}))


def _rows(section: Section) -> SafeString:
    # Twenty rows by Django's loop are half of a message's cost: 0.5 ms with it, 0.3 ms with this.
    rows = [f'<tr><th scope="row">{escape(row.label)}</th><td>{escape(row.value)}</td></tr>' for row in section.rows]
    return SafeString("\n".join(rows))


@lru_cache(maxsize=1)
def _layout() -> Template:
    return compile_layout((TEMPLATES / "message.mjml").read_text(encoding="utf-8"))


def compile_layout(source: str) -> Template:
    """MJML with Django placeholders as a Django template. Raises `LayoutFault`."""
    try:
        made = mrml.to_html(source, render_options=mrml.RenderOptions(disable_comments=True, fonts={}))
    except OSError as fault:  # what mrml raises for MJML that it cannot read
        raise LayoutFault(f"message.mjml: {fault}") from fault
    if made.warnings:
        raise LayoutFault(f"message.mjml: {made.warnings}")
    return _engine.from_string(_BLOCK.sub("\n", made.content))
