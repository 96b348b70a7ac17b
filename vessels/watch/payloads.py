"""First hearings that outlive a process: what was heard in the last minutes, so that its repeats are known.

A transmission is a repeat within 60 s of its first hearing, whatever the feed. So a restarted live watch knows what
was heard before, and a run over files knows what the live watch, or an earlier run, heard just before its first
report: files that were cut at midnight repeat each other across the cut.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from django.db import connection
from django.db.backends.utils import CursorWrapper

from vessels.quality import REMEMBER_PAYLOADS, REPEAT_WITHIN, Repeats
from vessels.watch.copying import time_text

_PAYLOADS = np.dtype([("mmsi", "<i8"), ("payload", "<u8"), ("time", "<i8")])
# Runs whose ends are remembered; whoever reads files in an order of his own is well within.
RUNS = 20

FirstHearing = tuple[int, int, int]  # MMSI, payload, time


def load_repeats(scope: int) -> Repeats:
    """What a scope had heard lately."""
    repeats = Repeats()
    with connection.cursor() as cursor:
        cursor.execute("SELECT packed FROM vessels_recentpayloads WHERE scope_id = %s ORDER BY latest, id", [scope])
        for (packed,) in cursor.fetchall():
            for mmsi, payload, time in np.frombuffer(packed, dtype=_PAYLOADS).tolist():
                repeats.first[mmsi, payload] = time
                repeats.newest = max(repeats.newest, time)
    return repeats


def write_payloads(cursor: CursorWrapper, scope: int, first: Iterable[FirstHearing], *, newest: int) -> None:
    """First hearings of a live batch; those too old to matter go."""
    _write(cursor, scope, np.array(list(first), dtype=_PAYLOADS))
    cursor.execute(
        "DELETE FROM vessels_recentpayloads WHERE scope_id = %s AND latest < %s",
        [scope, time_text(newest - REMEMBER_PAYLOADS)],
    )


def take_over_payloads(cursor: CursorWrapper, *, run: int, known: Iterable[int], first: int) -> None:
    """Give a new run what the `known` scopes heard within 60 s before its first report."""
    cursor.execute(
        """SELECT packed FROM vessels_recentpayloads WHERE scope_id = ANY(%s) AND latest BETWEEN %s AND %s
           ORDER BY latest, id""",
        [list(known), time_text(first - REPEAT_WITHIN), time_text(first + REMEMBER_PAYLOADS)],
    )
    for (packed,) in cursor.fetchall():
        heard = np.frombuffer(packed, dtype=_PAYLOADS)
        _write(cursor, run, heard[(heard["time"] >= first - REPEAT_WITHIN) & (heard["time"] < first)])


def keep_payloads(cursor: CursorWrapper, scope: int, repeats: Repeats) -> None:
    """The last 60 s of a run that is finished, for the run over the file that goes on there."""
    last = [(*key, time) for key, time in repeats.first.items() if time >= repeats.newest - REPEAT_WITHIN]
    _write(cursor, scope, np.array(last, dtype=_PAYLOADS))
    cursor.execute(
        """DELETE FROM vessels_recentpayloads WHERE scope_id = %(scope)s AND id NOT IN (
               SELECT id FROM vessels_recentpayloads WHERE scope_id = %(scope)s ORDER BY id DESC LIMIT %(runs)s)""",
        {"scope": scope, "runs": RUNS},
    )


def _write(cursor: CursorWrapper, scope: int, packed: np.ndarray) -> None:
    if len(packed):
        cursor.execute(
            "INSERT INTO vessels_recentpayloads (scope_id, latest, packed) VALUES (%s, %s, %s)",
            [scope, time_text(int(packed["time"].max())), packed.tobytes()],
        )
