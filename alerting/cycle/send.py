"""One message on the wire. No transaction is open meanwhile, and whatever it raises becomes an outcome."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from alerting.cycle.context import CycleContext
from alerting.cycle.memory import lacks_memory
from alerting.cycle.tried import Tried
from alerting.models import ErrorKind
from alerting.transports import NotHandedOver, Outgoing, Transport, TransportError, nothing


def send(
    outgoing: Outgoing, transport: Transport, context: CycleContext, *, handover: Callable[[], None] = nothing
) -> Tried:
    """Hand the message over; the transport keeps to the deadline. Raises what `handover` does to keep it back."""
    started_at = context.clock()
    try:
        deadline = context.monotonic() + context.send_deadline
        answer = transport.send(outgoing, deadline=deadline, handover=handover)
    except NotHandedOver:
        raise
    except TransportError as fault:
        trace = traceback.format_exc()
        return Tried(started_at, context.clock(), fault.answer, fault, trace)
    except Exception as error:  # one message's trouble must not reach the next
        return Tried(started_at, context.clock(), "", our_fault(error), traceback.format_exc())
    return Tried(started_at, context.clock(), answer)


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
