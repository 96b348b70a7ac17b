"""A message that is sent late says so: when it is written, or when a later attempt finds its words too old."""

from __future__ import annotations

import re
from html import escape

from accounts.local_time import duration_in_words, format_time_with_offset
from alerting.rendering.facts import Reader, Sending

# Where the layout's page begins; its values are escaped, so no text of others can look like it.
_PAGE = re.compile(r'<div [^>]*class="page"[^>]*>')
_BOX = (
    '<div class="notice" role="note" style="max-width:552px;margin:0 auto;padding:16px 24px;font-family:sans-serif;'
    'font-size:15px;line-height:22px;"><div><div style="background:#fdf3d8;color:#5c4204;padding:10px 14px;'
    'border-radius:6px;">{}</div></div></div>'
)


def late_notices(sending: Sending, reader: Reader) -> tuple[str, ...]:
    """One line, or nothing for a message in time."""
    late = sending.now - sending.due_at
    if late <= sending.late_after:
        return ()
    return (f"{_due(sending, reader)} and left {duration_in_words(late)} after that.",)


def late_add(text: str, html: str, *, sending: Sending, reader: Reader) -> tuple[str, str] | None:
    """Words of an earlier attempt with the notice put in; None if they need none or have one."""
    notices = late_notices(sending, reader)
    if not notices or _due(sending, reader) in text:
        return None
    headline, blank, rest = text.partition("\n\n")
    box = _BOX.format(escape(notices[0]))
    return f"{headline}\n\n{notices[0]}{blank}{rest}", _PAGE.sub(lambda page: page[0] + box, html, count=1)


def _due(sending: Sending, reader: Reader) -> str:
    due = format_time_with_offset(sending.due_at, reader.time_zone, reader.date_format)
    return f"Sent late: this message was due at {due}"
