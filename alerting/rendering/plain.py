"""Foreign text made harmless for one line of a message.

Vessel names come over the radio and names of areas and rules from forms. Before they reach a header, a text or a
page they become one line of visible characters; escaping for HTML is the template's.
"""

from __future__ import annotations

import re
import unicodedata

SUBJECT_LIMIT = 150  # characters; well within RFC 5322's 998 octets however it is encoded
NAME_LIMIT = 80

# Cc control, Cf format (bidi overrides, zero width), Cs surrogates, Co private use, Cn unassigned.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
_JOINERS = {"\u200c", "\u200d"}  # Cf, but part of the spelling of several languages and of no direction
_ORDINARY = re.compile(r"[ -~]*")  # printable ASCII: nearly every name, decided at once


def one_line(text: str, *, limit: int = NAME_LIMIT) -> str:
    """The text as one line of at most `limit` visible characters; "" when nothing is left."""
    if not _ORDINARY.fullmatch(text):
        text = "".join(_visible(character) for character in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def lines(text: str, *, limit: int) -> str:
    """As `one_line` for each line; the lines stay, blank ones at most one at a time."""
    cleaned = "\n".join(one_line(line, limit=limit) for line in re.split(r"\r\n|\r|\n", text))
    cleaned = re.sub(r"\n{3,}", "\n\n", cleaned).strip()
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1].rstrip() + "…"


def vessel_name(name: str | None) -> str:
    """A name as AIS sends it, without its padding ("@" and spaces); "" when the vessel has none."""
    return one_line((name or "").rstrip("@ \x00"))


def _visible(character: str) -> str:
    if character.isspace():  # also the line and paragraph separators U+2028, U+2029
        return " "
    if unicodedata.category(character) in _INVISIBLE and character not in _JOINERS:
        return " " if character < " " else ""
    return character
