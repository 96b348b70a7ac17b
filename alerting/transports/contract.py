"""The contract of a transport: return the server's answer on success, raise one typed error otherwise."""

from __future__ import annotations

import enum
from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol

from alerting.models import ErrorKind
from alerting.rendering.facts import Alert

Clock = Callable[[], float]  # seconds, monotonic


class Outgoing(NamedTuple):
    """A rendered message on its way to one address. Made by keyword: its fields are many."""

    message_id: str  # the same for every attempt: a repeat can be recognised by it
    address: str
    subject: str
    text: str
    html: str
    unsubscribe_url: str  # "" for none
    at: datetime
    return_path: str = ""  # where a mail that comes back goes; "": to its sender
    # for machines that read
    kind: str = ""
    due_at: datetime | None = None
    link: str = ""
    events: tuple[Alert, ...] = ()
    secrets: tuple[str, ...] = ()  # of the channel; more than one while they change


class TransportError(Exception):
    """A message that was not accepted, or is not known to be.

    `whole_kind`: the fault lies with the way out, not with this message: every message of this channel kind
    would meet it, so the kind pauses and no attempt is burnt.
    `bounced`: the address does not exist: its channel is disabled.
    `unknown`: the connection was lost after the message was handed over; it may have arrived.
    `retry_after`: seconds that the other side asks to be left alone.
    `untried`: nothing was asked of the other side; the message comes again and no attempt is counted.
    """

    def __init__(
        self,
        said: str,
        *,
        kind: ErrorKind,
        answer: str = "",
        whole_kind: bool = False,
        bounced: bool = False,
        unknown: bool = False,
        retry_after: float | None = None,
        untried: bool = False,
    ) -> None:
        super().__init__(said)
        self.kind = kind
        self.answer = answer
        self.whole_kind = whole_kind
        self.bounced = bounced
        self.unknown = unknown
        self.retry_after = retry_after
        self.untried = untried


class NotHandedOver(Exception):
    """What a `handover` raises to keep a message back: it has not left, and no attempt was made."""


def nothing() -> None:
    """For a `handover` that nobody waits for."""


class Transport(Protocol):
    """One way out. It may keep a connection open between messages until `close`."""

    def send(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        """Hand one message over before `deadline` (monotonic seconds) and return the server's answer.

        `handover` is called before the server can accept the message, again where a connection has to be opened
        again. It may wait, and it may raise `NotHandedOver`, which passes. Raises `TransportError`.
        """

    def close(self) -> None:
        """Let go of the connection. Never raises."""


class Heard(enum.Enum):
    """What the other side of a line has said by now of the message that was begun."""

    NOTHING = "nothing"  # or not all of it yet
    GO_ON = "go on"  # it waits for the content
    TAKEN = "taken"
    ELSE = "else"  # a refusal, a goodbye, an end of the connection


class Line(Protocol):
    """An open connection whose user need not wait for answers: one thread can serve many.

    It is for messages with which all goes well. Where `begin` or `hand_over` says False, `hear` ELSE, or anything is
    raised, somebody who can wait goes on with `finish`, from where the message stands. After that the line is of no
    use.
    """

    def fileno(self) -> int:
        """To be told when there is something to hear."""

    def begin(self, outgoing: Outgoing) -> bool:
        """Announce a message, and make it ready while the other side thinks. It cannot be accepted yet."""

    def hear(self) -> Heard:
        """Take what the other side has said, without waiting for more of it."""

    @property
    def takes_early(self) -> bool:
        """Whether another message may be announced behind the content of the one under way, or that may be tried."""

    def announce_early(self, outgoing: Outgoing) -> bool:
        """After `GO_ON`: `hand_over` is to announce this one too. It cannot be accepted before `hand_over` is called
        for it. False if it cannot be announced; `hand_over` may then find out how the other side takes that."""

    def hand_over(self) -> bool:
        """After `GO_ON`: send the content. From now on the message can be accepted."""

    def taken(self) -> str:
        """After `TAKEN`: the answer."""

    def follow(self) -> Heard:
        """After `taken`, where one was announced early: that one is the message under way from now on. Returns what was
        heard of it."""

    def give_up(self) -> None:
        """Whatever is announced will not come: the connection is closed if the other side waits for it."""

    def finish(self, outgoing: Outgoing, *, deadline: float, handover: Callable[[], None] = nothing) -> str:
        """Go on with the message that was begun, and wait, as `Transport.send` does."""


class LineTransport(Transport):
    """What a transport inherits from if its connection can be opened by itself, and then be used as a line."""

    @abstractmethod
    def open(self, *, deadline: float) -> None:
        """Unless it is open. Raises `TransportError`, before `deadline` (monotonic seconds)."""

    @abstractmethod
    def line(self) -> Line | None:
        """None while no connection is open, or where the other side has to be waited for in each step."""
