"""What a lack of memory looks like where `WORKER_MEMORY_MB` ends what a worker may take."""

from __future__ import annotations

from django.db import connection
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out

_LIBPQ_SAYS = ("out of memory", "cannot allocate memory")


def lacks_memory(error: Exception) -> bool:
    """Python raises `MemoryError`; libpq says so in words, without the code that a server's error has."""
    if isinstance(error, DatabaseFault):
        code = getattr(error.__cause__, "sqlstate", None)
        return code is None and any(words in str(error) for words in _LIBPQ_SAYS)
    return isinstance(error, MemoryError)


def room_give_back() -> None:
    """Close this thread's connection; the next query opens another. libpq keeps the room of the largest row that it
    read for as long as a connection lives, and gives a connection up whose row it has no room for."""
    connection.close()
