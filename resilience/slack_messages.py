"""The words of an incident in Slack. Pure; every foreign text is escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from resilience.slack import escape

LISTED = 15
_TAIL_OF_TRACEBACK = 1_500
_SIGNS = {"critical": ":rotating_light:", "error": ":red_circle:", "warning": ":warning:"}


@dataclass(frozen=True)
class News:
    """What a message needs to know of an incident."""

    kind: str
    severity: str
    summary: str
    count: int
    first_at: datetime
    last_at: datetime
    traceback: str = ""
    sample: dict[str, Any] = field(default_factory=dict)
    told_before: bool = False
    resolved_by: str = ""


def compose(news: Sequence[News], *, installation: str, reason: str = "") -> str:
    """One message: an incident in full, or many by a line each. `reason`: why it comes another way than usual."""
    lines = [escape(reason)] if reason else []
    if len(news) == 1:
        lines += _in_full(news[0], installation)
    else:
        lines.append(f":bell: *{len(news)} incidents* at {escape(installation)}")
        lines += [_headline(item) for item in news[:LISTED]]
        if len(news) > LISTED:
            lines.append(f"… and {len(news) - LISTED} more, listed in the admin.")
    return "\n".join(lines)


def _in_full(news: News, installation: str) -> list[str]:
    lines = [_headline(news), f"{escape(installation)}, {_times(news)}"]
    if news.resolved_by or news.told_before:
        return lines
    if news.sample:
        lines.append(f"```{escape(json.dumps(news.sample, ensure_ascii=False)[:800])}```")
    if news.traceback:
        lines.append(f"```{escape(news.traceback[-_TAIL_OF_TRACEBACK:])}```")
    return lines


def _headline(news: News) -> str:
    title = f"*{escape(news.kind)}*: {escape(news.summary[:400])}"
    if news.resolved_by:
        return f":white_check_mark: Resolved by {escape(news.resolved_by)}: {title}"
    times = f" ({news.count:,} times)" if news.count > 1 else ""
    return f"{_SIGNS.get(news.severity, '')} {title}{times}"


def _times(news: News) -> str:
    first, last = (at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") for at in (news.first_at, news.last_at))
    return f"at {first}" if first == last else f"first at {first}, last at {last}"
