"""The mails that every sender is given: the same words, about 1 KB of text and HTML together, distinct recipients."""

from __future__ import annotations

from dataclasses import dataclass

FROM = "Watchkeeper <watchkeeper@bench.example>"
_LINES = (
    "Endeavour {number} has entered Hauraki Gulf.",
    "",
    "Position 36°30.000′S 174°30.000′E, 10.0 kn, course 210°, under way using engine.",
    "It crossed the boundary between 1 Mar 2026 11:59 and 12:00 UTC.",
    "MMSI 512000001, New Zealand, cargo, 180 m.",
    "You get this because you subscribed to the rule “Anybody enters” of Moana.".replace("“", '"').replace("”", '"'),
)


@dataclass(frozen=True, slots=True)
class Mail:
    """What leaves, and to whom."""

    address: str
    subject: str
    text: str
    html: str


def mail(number: int) -> Mail:
    lines = [line.format(number=number) for line in _LINES]
    paragraphs = "".join(f"<p>{line}</p>\n" for line in lines if line)
    return Mail(
        address=f"r{number}@bench.example",
        subject=f"Endeavour {number} has entered Hauraki Gulf",
        text="\n".join(lines) + "\n",
        html=f'<!doctype html>\n<html><body style="font-family:sans-serif">\n{paragraphs}</body></html>\n',
    )
