"""A letter as plain text: for mail readers without HTML, and for everybody's eyes in a log."""

from __future__ import annotations

from collections.abc import Iterator

from alerting.rendering.letters import Entry, Footer, Group, Letter, Section


def write_text(letter: Letter) -> str:
    """The letter's text, lines ended by a line feed, blocks set apart by an empty line."""
    return "\n\n".join(_blocks(letter)) + "\n"


def _blocks(letter: Letter) -> Iterator[str]:
    yield letter.headline
    if letter.critical:
        yield "Severity: CRITICAL"
    yield from letter.notices
    yield from letter.paragraphs
    for section in letter.sections:
        yield _section(section)
    for group in letter.groups:
        yield _group(group)
    if letter.more:
        yield letter.more
    if letter.link:
        yield f"{letter.button}:\n{letter.link}"
    yield _footer(letter.footer)


def _section(section: Section) -> str:
    width = max(len(row.label) for row in section.rows) + 2
    return "\n".join([section.title, *(f"  {row.label:<{width}}{row.value}" for row in section.rows)])


def _group(group: Group) -> str:
    severity = " · CRITICAL" if group.critical else ""
    title = f"{group.title} · {group.subtitle} · {group.count}{severity}"
    return "\n\n".join([f"{title}\n{'-' * min(len(title), 72)}", *(_entry(entry) for entry in group.entries)])


def _entry(entry: Entry) -> str:
    told = entry.told.replace("\n", "\n  ")
    return "\n".join([f"* {told}", *(f"  {line}" for line in (*entry.details, entry.link))])


def _footer(footer: Footer) -> str:
    sender = f"Watchkeeper · {footer.organisation}" if footer.organisation else "Watchkeeper"
    written = [f"-- \n{sender}\n{footer.site_link}", footer.reason]  # "-- " begins a signature for mail readers
    if footer.unsubscribe_link:
        written.append(f"Unsubscribe: {footer.unsubscribe_link}")
    return "\n".join(written)
