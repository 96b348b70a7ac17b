"""An error in one line, whatever the error is."""

from __future__ import annotations

MOST_CHARACTERS = 500


def told(error: BaseException) -> str:
    """Its type and its text, cut to a line's length. Never raises."""
    try:
        return f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]
    except Exception as fault:  # an exception whose own __str__ raises
        return f"{type(error).__name__} (cannot be shown: {type(fault).__name__})"
