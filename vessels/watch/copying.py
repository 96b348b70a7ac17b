"""Many rows to PostgreSQL at once: COPY in text form, from whatever columns we have.

Lines are made column by column; `None` is `\\N`, and text is escaped as COPY wants it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray

from vessels.watch.events import to_datetime

NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\x00": "\ufffd"})


def copy_rows(cursor: CursorWrapper, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """COPY rows into a table; values may be None, numbers, booleans, text, datetimes, dicts and lists (JSON)."""
    lines = "".join("\t".join([_field(value) for value in row]) + "\n" for row in rows)
    if lines:
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            copy.write(lines)


def copy_columns(cursor: CursorWrapper, table: str, columns: Mapping[str, Iterable[str]]) -> None:
    """COPY from columns of text that is escaped already: three times as fast as row by row."""
    lines = "\n".join(map("\t".join, zip(*columns.values(), strict=True)))
    if lines:
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            copy.write(lines + "\n")


def escaped(text: str | None) -> str:
    return NULL if text is None else text.translate(_ESCAPES)


def times_text(microseconds: NDArray[np.int64]) -> list[str]:
    """As `time_text`, for a whole column. Without a zone: the session's is UTC."""
    written: list[str] = np.datetime_as_string(microseconds.astype("M8[us]")).tolist()
    return written


def numbers_text(values: Iterable[float]) -> list[str]:
    return [NULL if value != value else repr(value) for value in values]


def upsert_rows(
    cursor: CursorWrapper, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], conflict: str
) -> list[tuple[Any, ...]]:
    """COPY into a temporary table, then INSERT … SELECT … with this ON CONFLICT clause (and RETURNING)."""
    names = ", ".join(columns)
    cursor.execute(
        f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA"  # noqa: S608
    )
    copy_rows(cursor, "incoming", columns, rows)
    cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming {conflict}")  # noqa: S608
    returned = cursor.fetchall() if cursor.description else []
    cursor.execute("DROP TABLE incoming")
    return returned


def time_text(microseconds: int | None) -> str | None:
    """A timestamp in a form that PostgreSQL reads exactly."""
    if microseconds is None:
        return None
    return to_datetime(microseconds).isoformat()


def interval_text(microseconds: int | None) -> str | None:
    return None if microseconds is None else f"{microseconds} microseconds"


def _field(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, float):
        return NULL if math.isnan(value) else repr(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(value).translate(_ESCAPES)
    return str(value)
