"""One mail on its way through a session: what it says, and how far it has come."""

from __future__ import annotations

import enum

from alerting.transports.contract import Outgoing
from alerting.transports.email.early import Order
from alerting.transports.email.exchange import in_one_piece, on_the_wire
from alerting.transports.email.mime import Sender, mail_bytes, recipient_address, sender_address


class Standing(enum.Enum):
    """What has happened last."""

    NEW = "new"
    SAID = "said"  # the envelope has left in one piece, and its answers are still to be read
    WANTED = "wanted"  # the server waits for the content
    LEAVING = "leaving"  # some of the content may have left: only the server knows what it took
    TAKEN = "taken"  # it said so


class Mail:
    """Of one attempt. Raises `TransportError` where the recipient is no address."""

    def __init__(self, outgoing: Outgoing, *, mail_from: str) -> None:
        self.outgoing = outgoing
        self._from: Sender = sender_address(mail_from)
        self.sender = outgoing.return_path or self._from.addr_spec
        self.recipient = recipient_address(outgoing.address)
        self.standing = Standing.NEW
        self.behind = b""  # what leaves in one piece with the content: the envelope of the next mail
        self.order = Order.UNKNOWN  # in which the server answers both; before that is known, what is behind is an EHLO
        self.came_early = False  # its envelope left behind the content of another
        self.gone = 0  # bytes of `leaving`; of TLS perhaps more, which is why the same bytes follow
        self.answer = ""  # when it is taken
        self._wire: bytes | None = None

    def envelope(self) -> bytes:
        """In one piece. Raises `UnicodeError` for an address that cannot be said in ASCII."""
        return in_one_piece(self.sender, self.recipient).encode("ascii")

    def wire(self) -> bytes:
        """The content as it leaves; made when it is asked for first."""
        if self._wire is None:
            self._wire = on_the_wire(mail_bytes(self.outgoing, sender=self._from, recipient=self.recipient))
        return self._wire

    def leaving(self) -> bytes:
        """What leaves when the server waits for the content."""
        return self.wire() + self.behind if self.behind else self.wire()

    def rest(self) -> bytes:
        """What has not left of it."""
        return self.leaving()[self.gone :] if self.gone < len(self.wire()) + len(self.behind) else b""

    @property
    def tries(self) -> bool:
        """Whether an EHLO is behind the content."""
        return bool(self.behind) and self.order is Order.UNKNOWN
