"""A text as Slack's section blocks: cut between lines, and what finds no room is counted."""

from __future__ import annotations

LONGEST_TEXT = 3000  # characters of one section block, escaped: docs.slack.dev, "Section block"
MOST_BLOCKS = 50  # of one message: docs.slack.dev, "Blocks"


def escape(text: str) -> str:
    """Text that Slack shows as it stands: no mentions, no links of somebody else's making."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def sections(text: str, *, link: str, most: int = MOST_BLOCKS) -> list[str]:
    """The text, escaped, in at most `most` pieces of at most `LONGEST_TEXT` characters.

    Where it is too much, its closing lines stay, and before them stands how many lines are missing, with `link`.
    """
    lines = [_fitting(line) for line in text.rstrip().split("\n")]
    pieces = _packed(lines)
    if len(pieces) > most:
        pieces = _shortened(lines, link, most)
    return ["\n".join(piece) for piece in pieces]


def _fitting(line: str) -> str:
    """The line, escaped; an overlong one is cut between two characters, never within what stands for one."""
    escaped = escape(line)
    if len(escaped) <= LONGEST_TEXT:
        return escaped
    room = LONGEST_TEXT - len("…")
    for place, character in enumerate(line):
        room -= len(escape(character))
        if room < 0:
            return escape(line[:place]) + "…"
    return escaped


def _packed(lines: list[str]) -> list[list[str]]:
    """As many lines in each piece as fit. Slack sets pieces apart by itself, and refuses an empty one."""
    pieces: list[list[str]] = []
    room = 0
    for line in lines:
        if len(line) + 1 > room:
            pieces.append([])
            room = LONGEST_TEXT + 1  # the last line needs no line feed
        pieces[-1].append(line)
        room -= len(line) + 1
    return [kept for piece in pieces if (kept := _without_blank_ends(piece))]


def _shortened(lines: list[str], link: str, most: int) -> list[list[str]]:
    closing = _closing(lines)
    body = lines[: len(lines) - len(closing)]
    kept = _packed(body)[: most - 1]
    missing = _told(body) - sum(_told(piece) for piece in kept)
    return [*kept, _without_blank_ends([_more(missing, link), "", *closing])]


def _more(missing: int, link: str) -> str:
    return f"… and {missing} more {'line' if missing == 1 else 'lines'}: {escape(link)}"


def _closing(lines: list[str]) -> list[str]:
    """The last two paragraphs: where to read on, and who sent it with the way out. None where they are too long for
    that."""
    blank = [place for place, line in enumerate(lines) if not line.strip()]
    closing = lines[blank[-2] + 1 :] if len(blank) > 1 else []
    return closing if sum(len(line) + 1 for line in closing) <= LONGEST_TEXT // 2 else []


def _told(lines: list[str]) -> int:
    return sum(bool(line.strip()) for line in lines)


def _without_blank_ends(lines: list[str]) -> list[str]:
    told = [place for place, line in enumerate(lines) if line.strip()]
    return lines[told[0] : told[-1] + 1] if told else []
