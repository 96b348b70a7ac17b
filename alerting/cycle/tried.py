"""One try to send a message."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from alerting.transports import TransportError


class Tried(NamedTuple):
    """What one try came to. Without a fault the message was accepted."""

    started_at: datetime
    ended_at: datetime
    answer: str = ""
    fault: TransportError | None = None
    trace: str = ""
