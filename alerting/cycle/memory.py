"""What a lack of memory looks like where `WORKER_MEMORY_MB` ends what a worker may take."""

from __future__ import annotations

from django.db import connection
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

from resilience.incidents import incident_report

_LIBPQ_SAYS = ("out of memory", "cannot allocate memory")
# Before a server's words, which libpq hands on without their code while it connects.
_SERVER_SAYS = "FATAL: "


def lacks_memory(error: Exception) -> bool:
    """Python raises `MemoryError`; libpq says so in words, without the code that a server's error has."""
    if isinstance(error, DatabaseFault):
        code = getattr(error.__cause__, "sqlstate", None)
        said = str(error)
        return code is None and _SERVER_SAYS not in said and any(words in said for words in _LIBPQ_SAYS)
    return isinstance(error, MemoryError)


def wait_for_room_report(message: int) -> None:
    """Others fill the memory, and stay."""
    incident_report(
        kind="message_waits_for_memory",
        summary=f"Message {message} has no room beside the others in hand. It comes again, and burns no attempt.",
        severity="warning",
        fingerprint="message_waits_for_memory",
        details={"message": message},
    )


def room_give_back() -> None:
    """Close this thread's connection; the next query opens another. libpq keeps the room of the largest row that it
    read for as long as a connection lives, and gives a connection up whose row it has no room for."""
    connection.close()
