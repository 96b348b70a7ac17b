"""A rule's own message template: Django's syntax in an engine that can reach nothing.

The template replaces the built-in sentence. It knows the variables of `VARIABLES`, all plain text, the tags `if` and
`comment`, and a few filters; no loops, no includes, no attributes. When its first line begins with "Subject:", the
rest of that line becomes the subject.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.template import Context, Engine, Library, Template, TemplateSyntaxError
from django.template import defaultfilters as filters
from django.template.base import FilterExpression, Lexer, NodeList, Parser, Variable
from django.template.defaulttags import comment, do_if

from alerting.rendering.plain import lines

SOURCE_LIMIT = 4000  # characters of a template
OUTPUT_LIMIT = 4000  # characters of what it makes

VARIABLES = {
    "sentence": "the built-in sentence",
    "event": "entered, exited, appeared, missing or resumed",
    "vessel": "the vessel's name, or MMSI and number where it has none",
    "mmsi": "nine digits",
    "imo": "IMO number, empty when unknown",
    "flag": "the country of the vessel's flag, empty when unknown",
    "call_sign": "empty when unknown",
    "ship_type": "such as Cargo, empty when unknown",
    "area": "the area's name",
    "rule": "the rule's name",
    "severity": "normal or critical",
    "happened": "when it happened, in the reader's zone; of a crossing that nobody witnessed, when it was next heard",
    "received": "when the report was received, empty when unknown",
    "noticed": "when the watch noticed it",
    "before": "crossings: the time of the position before, empty otherwise",
    "after": "crossings: the time of the position after, empty otherwise",
    "last_heard": "missing and resumed: when the vessel was last heard, empty otherwise",
    "duration": "missing: the rule's duration, such as 6 hours, empty otherwise",
    "gap": "resumed: how long it was silent, empty otherwise",
    "position": "degrees and minutes, empty when unknown",
    "speed": "knots, empty when unknown",
    "course": "degrees, empty when unknown",
    "link": "address of the notification's page",
}

_library = Library()
_library.tag("if", do_if)
_library.tag("comment", comment)
for _name in ("capfirst", "default", "length", "lower", "title", "truncatechars", "truncatewords", "upper", "yesno"):
    _library.filter(_name, getattr(filters, _name))


class TemplateFault(Exception):
    """A rule's template cannot be used. `line` is where, counted from 1; `traceback` is for the incident."""

    def __init__(self, message: str, *, line: int | None = None, traceback: str = "") -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line
        self.traceback = traceback


@dataclass(frozen=True, slots=True)
class Written:
    """What a rule's template made: its text and, if it gives one, its subject."""

    body: str
    subject: str | None = None


_engine = Engine(autoescape=False, loaders=[], libraries={})
_engine.template_builtins = [_library]  # instead of Django's: no `load`, `include`, `debug`, `url`


class _StrictParser(Parser):
    """Refuses any variable that is not documented; with no dots, no attribute or method can be reached."""

    def compile_filter(self, token: str) -> FilterExpression:
        expression = super().compile_filter(token)
        arguments = [argument for _, given in expression.filters for is_variable, argument in given if is_variable]
        for variable in [expression.var, *arguments]:
            if isinstance(variable, Variable) and variable.literal is None and str(variable) not in VARIABLES:
                raise TemplateSyntaxError(f"{str(variable)!r} is not a variable of messages")
        return expression


class _RuleTemplate(Template):
    def compile_nodelist(self) -> NodeList:
        tokens = Lexer(self.source).tokenize()
        parser = _StrictParser(tokens, {}, self.engine.template_builtins, self.origin)
        return parser.parse()


def validate_template(source: str) -> None:
    """Raises `TemplateFault` with the line when the template's syntax, a variable or a filter is wrong."""
    _compiled(source)


def write(source: str, values: Mapping[str, str]) -> Written:
    """The template with these values. Raises `TemplateFault` when it cannot be used or makes nothing."""
    template = _compiled(source)
    try:
        made = template.render(Context(dict(values), autoescape=False))
    except Exception as fault:
        raise TemplateFault(_first_line(fault), traceback=traceback.format_exc()) from fault
    return _split(made)


@lru_cache(maxsize=256)
def _compiled(source: str) -> Template:
    if len(source) > SOURCE_LIMIT:
        raise TemplateFault(f"the template has {len(source)} characters; {SOURCE_LIMIT} are allowed")
    try:
        return _RuleTemplate(source, engine=_engine)
    except Exception as fault:
        token: Any = getattr(fault, "token", None)
        line = getattr(token, "lineno", None)
        raise TemplateFault(_first_line(fault), line=line, traceback=traceback.format_exc()) from fault


def _split(made: str) -> Written:
    # Names in the values are one line each, so only the template itself can begin a line.
    found = re.match(r"\s*Subject:[ \t]*(.*)(?:\n|\Z)", made)
    body = lines(made[found.end() :] if found else made, limit=OUTPUT_LIMIT)
    if not body:
        raise TemplateFault("the template made an empty message")
    return Written(body=body, subject=(found.group(1).strip() or None) if found else None)


def _first_line(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0]
