"""Texts as Slack's section blocks: nothing is lost in silence."""

from __future__ import annotations

import re

import pytest

from alerting.transports.slack.blocks import LONGEST_TEXT, MOST_BLOCKS, sections

LINK = "https://watch.example/notifications/"
CLOSING = f"""Open your history:
{LINK}

--\x20
Watchkeeper · Moana
https://watch.example/
You get this digest because you chose daily alerts.
Unsubscribe: https://watch.example/unsubscribe/x/"""


def entries(count: int, *, length: int = 100) -> list[str]:
    return [f"* {number:05} ".ljust(length, "x") for number in range(count)]


def letter(lines: list[str]) -> str:
    return "\n\n".join(["100 alerts", "\n".join(lines), CLOSING]) + "\n"


def test_a_short_text_is_one_piece() -> None:
    assert sections("ENDEAVOUR entered Gulf.\n", link=LINK) == ["ENDEAVOUR entered Gulf."]


def test_an_empty_text_needs_no_piece() -> None:
    assert sections(" \n\n", link=LINK) == []


def test_a_long_text_is_cut_between_lines_and_all_of_it_is_there() -> None:
    text = letter(entries(100))

    pieces = sections(text, link=LINK)

    assert len(pieces) > 1
    assert max(map(len, pieces)) <= LONGEST_TEXT
    assert [line for piece in pieces for line in piece.split("\n") if line] == [
        line for line in text.split("\n") if line
    ]


@pytest.mark.parametrize("length", range(95, 105))
def test_no_entity_is_cut_in_two(length: int) -> None:
    text = "\n".join("&<>" * length for _ in range(20)) + "\n" + "&" * 10_000

    pieces = sections(text, link=LINK)

    assert max(map(len, pieces)) <= LONGEST_TEXT
    assert not any(re.sub("&(amp|lt|gt);", "", piece).strip("\n…") for piece in pieces)


@pytest.mark.parametrize("length", [LONGEST_TEXT, LONGEST_TEXT + 1])
def test_an_overlong_line_says_that_it_goes_on(length: int) -> None:
    (piece,) = sections("é" * length, link=LINK)

    assert len(piece) == LONGEST_TEXT
    assert piece.endswith("…") == (length > LONGEST_TEXT)


def test_what_does_not_fit_is_counted_and_the_closing_lines_stay() -> None:
    lines = entries(2000)

    pieces = sections(letter(lines), link=LINK)

    assert len(pieces) == MOST_BLOCKS
    assert max(map(len, pieces)) <= LONGEST_TEXT
    told = "\n".join(pieces).split("\n")
    shown = [line for line in told if line.startswith("* ")]
    assert shown == lines[: len(shown)]
    assert pieces[-1] == f"… and {2000 - len(shown)} more lines: {LINK}\n\n{CLOSING}"


def test_a_text_without_closing_lines_is_counted_to_its_end() -> None:
    lines = entries(100)

    pieces = sections("\n".join(lines), link=LINK, most=2)

    assert pieces == ["\n".join(lines[:29]), f"… and 71 more lines: {LINK}"]


def test_paragraphs_too_long_for_a_closing_are_none() -> None:
    lines = entries(60)

    pieces = sections("\n\n".join(["one", "two", "\n".join(lines)]), link=LINK, most=2)

    assert pieces[-1].startswith("… and ")
    assert pieces[-1].endswith(f" more lines: {LINK}")
