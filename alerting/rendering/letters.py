"""A letter: a message before it is written out, the same for text and HTML."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One detail: a label and its value."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Section:
    """Details under a title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert in a list: what happened, its details, where to read on."""

    told: str
    details: tuple[str, ...]  # lines
    link: str


@dataclass(frozen=True, slots=True)
class Group:
    """Entries of one rule in one area."""

    title: str
    subtitle: str
    count: str
    critical: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Footer:
    """Who sent it, why, and the way out."""

    reason: str
    site_link: str
    organisation: str
    unsubscribe_link: str  # "" for none


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Everything that a message shows, in order. All of it plain text; the writers escape."""

    subject: str
    preheader: str
    label: str  # the small line above the headline
    headline: str
    critical: bool = False
    notices: tuple[str, ...] = ()  # sent late
    paragraphs: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    groups: tuple[Group, ...] = ()
    more: str = ""  # what a list leaves out
    button: str = ""
    link: str = ""
    footer: Footer
