"""One message on the wire. No transaction is open meanwhile, and whatever it raises becomes an outcome."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol

from alerting.cycle.context import CycleContext
from alerting.cycle.memory import lacks_memory
from alerting.cycle.tried import Tried
from alerting.models import ErrorKind
from alerting.transports import NotHandedOver, TransportError, nothing


class HandOver(Protocol):
    """`Transport.send` of one message, or what is left of it. Raises what that does."""

    def __call__(self, *, deadline: float, handover: Callable[[], None]) -> str: ...


class Begun(NamedTuple):
    """An attempt: since when, until when in monotonic seconds, and how to go on with it from where it stands."""

    at: datetime
    deadline: float
    clock: Callable[[], datetime]
    go_on: HandOver


def send(begun: Begun, *, handover: Callable[[], None] = nothing) -> Tried:
    """Hand the message over; the transport keeps to the deadline. Raises what `handover` does to keep it back."""
    try:
        answer = begun.go_on(deadline=begun.deadline, handover=handover)
    except NotHandedOver:
        raise
    except TransportError as fault:
        trace = traceback.format_exc()
        return Tried(begun.at, begun.clock(), fault.answer, fault, trace)
    except Exception as error:  # one message's trouble must not reach the next
        return Tried(begun.at, begun.clock(), "", our_fault(error), traceback.format_exc())
    return Tried(begun.at, begun.clock(), answer)


def never_sent(error: Exception, context: CycleContext) -> Tried:
    """The outcome of a message that our own code could not make ready. Call it where `error` is handled."""
    now = context.clock()
    return Tried(now, now, "", our_fault(error), traceback.format_exc())


def our_fault(error: Exception) -> TransportError:
    said = f"{type(error).__name__}: {error}".removesuffix(": ")
    if lacks_memory(error):
        said += ": it takes more memory than a worker may have"
        # its traceback holds on to all that filled the memory until the outcome is told; others need the room
        traceback.clear_frames(error.__traceback__)
    fault = TransportError(f"A fault of our own: {said}.", kind=ErrorKind.OURS)
    fault.__cause__ = error
    return fault
