"""What became of every notification: the rows against what the mail server really took, by Message-ID and recipient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from alerting.gameday.smtp_server import Mail
from alerting.models import Message, Notification, State

Receipt = tuple[str, str]  # Message-ID and recipient


@dataclass(slots=True)
class Tally:
    """`lost`, `strays`: one line for each."""

    made: int = 0
    others: int = 0
    others_delivered: int = 0
    repeated: int = 0
    lost: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)  # mails that no row knows of


@dataclass(frozen=True, slots=True)
class Row:
    """One notification with its message."""

    key: int
    user_id: int
    state: str
    reason: str
    sent_at: datetime | None
    message_id: str
    message_state: str
    next_at: datetime | None
    address: str


def receipts_of(mails: Iterable[Mail]) -> Counter[Receipt]:
    return Counter((mail.message_id, address) for mail in mails for address in mail.to)


def tally_take(*, receipts: Counter[Receipt], victims: Collection[int]) -> Tally:
    """`victims`: users whom the outage hits; whatever is owed to anybody else must have been received."""
    tally = Tally(repeated=sum(times - 1 for times in receipts.values()))
    for row in _rows():
        tally.made += 1
        received = receipts[row.message_id, row.address] > 0
        if fault := _fault(row, received=received):
            tally.lost.append(f"notification {row.key} to {row.address}: {fault}")
        if row.user_id in victims:
            continue
        tally.others += 1
        tally.others_delivered += received
        if not received and not fault:
            tally.lost.append(f"notification {row.key} to {row.address}: {row.state} and not delivered")
    known = set(Message.objects.values_list("message_id", "channel__address"))
    tally.strays = [
        f"{message_id} to {address}" for message_id, address in receipts if (message_id, address) not in known
    ]
    return tally


def _rows() -> Iterator[Row]:
    wanted = Notification.objects.order_by("pk").values_list(
        "pk",
        "subscription__user_id",
        "state",
        "reason",
        "sent_at",
        "message__message_id",
        "message__state",
        "message__next_attempt_at",
        "channel__address",
    )
    for row in wanted.iterator(chunk_size=5000):
        yield Row(*row)


def _fault(row: Row, *, received: bool) -> str:
    """Why a notification counts as lost: it has neither an end with a reason nor a next time, or its end is untrue."""
    if row.state == State.SENT:
        return "" if received and row.sent_at is not None else "marked sent, and never received"
    if row.state == State.PENDING:
        if row.message_state != State.PENDING or row.next_at is None:
            return f"pending without a next time (its message is {row.message_state})"
        return ""
    return "" if row.reason else f"{row.state} without a reason"
