"""Foreign text becomes one harmless line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.rendering.plain import lines, one_line, vessel_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ENDEAVOUR", "ENDEAVOUR"),
        ("A\r\nBcc: all@example.org", "A Bcc: all@example.org"),
        ("A\u2028B\u2029C\x85D\x0bE", "A B C D E"),
        ("\u202eLIVE\u202c", "LIVE"),
        ("\u2066A\u2069\u200f\u200e\u061c", "A"),
        ("ZERO\u200bWIDTH\ufeff", "ZEROWIDTH"),
        ("\x00NUL\x07", "NUL"),
        ("  two   blanks ", "two blanks"),
        ("Ærø Öland 東京", "Ærø Öland 東京"),
        ("\ud800half", "half"),
        ("x" * 100, "x" * 79 + "…"),
    ],
)
def test_text_is_cleaned_to_one_line(text: str, expected: str) -> None:
    assert one_line(text) == expected


@given(st.text())
def test_nothing_but_one_bounded_line_of_visible_characters_is_left(text: str) -> None:
    cleaned = one_line(text)

    assert len(cleaned) <= 80
    assert cleaned == cleaned.strip()
    assert len(cleaned.splitlines()) <= 1
    assert {unicodedata.category(character) for character in cleaned} <= {
        *("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Zs"),
        *("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Cf"),
    }
    assert not {"\u202a", "\u202e", "\u2066", "\u200f", "\u200b"} & set(cleaned)


def test_the_padding_of_ais_names_is_no_name() -> None:
    assert vessel_name("ENDEAVOUR@@@@@@") == "ENDEAVOUR"
    assert vessel_name("@@@@@@@@") == ""
    assert vessel_name(None) == ""


def test_lines_stay_lines() -> None:
    assert lines("a\r\nb\x07c\n\n\n\nd  ", limit=100) == "a\nb c\n\nd"
