"""Takes secrets out of whatever leaves the process as text: logs, incidents, Slack, Sentry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "[redacted]"

# `claim_token` names a lease, is no secret, and is what one needs to follow a message through the logs.
_SECRET_KEY = re.compile(
    r"(?:^|(?<!claim)[_\-\s.])(?:password|passwd|pwd|secret|token|authorization|cookie|sessionid|csrftoken"
    r"|api_?key|secret_?key|private_?key|dsn|webhook_url)s?$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"(?P<hook>https?://[^\s\"'<>]*/services/)[^\s\"'<>]+"  # Slack's incoming webhooks
    r"|xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}"  # Slack's tokens
    r"|whsec_[\w+/=]{8,}"  # Standard Webhooks' secrets
    r"|(?P<scheme>[a-z][a-z0-9+.\-]{1,20}://[^\s:/@\"']{0,100}):[^\s/@\"']{1,200}@"  # user:password in an address
    r"|(?P<name>(?:password|passwd|secret|token|authorization)[\"']?\s*[=:]\s*)"
    r"(?:[\"'][^\"']+[\"']|(?:bearer\s+|basic\s+)?[^\s,;&\"')}\]]+)",
    re.IGNORECASE,
)
_CLAIM_TOKEN = re.compile(r"claim_$", re.IGNORECASE)
_MAX_DEPTH = 12


def redact_text(text: str) -> str:
    """The text without webhook addresses, tokens and passwords, and without what PostgreSQL cannot store."""
    text = text.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
    return _SECRET_TEXT.sub(_hide, text)


def redact(value: Any, *, depth: int = 0) -> Any:
    """A copy of plain data without secrets: by the name of a key, and inside strings."""
    if isinstance(value, str):
        return redact_text(value)
    if depth >= _MAX_DEPTH:
        return value if isinstance(value, int | float | bool | None) else HIDDEN
    if isinstance(value, Mapping):
        return {key: _redact_item(key, item, depth) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item, depth=depth + 1) for item in value]
    return value


def _redact_item(key: object, item: Any, depth: int) -> Any:
    if item and isinstance(key, str) and _SECRET_KEY.search(key):
        return HIDDEN
    return redact(item, depth=depth + 1)


def _hide(match: re.Match[str]) -> str:
    if match["hook"]:
        return f"{match['hook']}{HIDDEN}"
    if match["scheme"]:
        return f"{match['scheme']}:{HIDDEN}@"
    if match["name"]:
        if _CLAIM_TOKEN.search(match.string[max(0, match.start() - 6) : match.start()]):
            return match[0]
        return f"{match['name']}{HIDDEN}"
    return HIDDEN
