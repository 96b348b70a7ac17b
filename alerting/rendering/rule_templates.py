"""A rule's own message template: Django's syntax in an engine that can reach nothing."""

from __future__ import annotations


class TemplateFault(Exception):
    """A rule's template cannot be used. `line` is where, counted from 1; `traceback` is for the incident."""

    def __init__(self, message: str, *, line: int | None = None, traceback: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.traceback = traceback


def validate_template(source: str) -> None:
    """Raises `TemplateFault` with the line when the template's syntax, a variable or a filter is wrong."""
    raise NotImplementedError
