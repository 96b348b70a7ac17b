"""One try to send a message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from alerting.transports import TransportError


@dataclass(frozen=True, slots=True)
class Tried:
    """What one try came to. Without a fault the message was accepted."""

    started_at: datetime
    ended_at: datetime
    answer: str = ""
    fault: TransportError | None = None
    trace: str = ""
