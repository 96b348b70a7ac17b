"""Pokes: PostgreSQL's NOTIFY, heard on a connection of its own, so that an alert need not wait for a tick."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence

import psycopg
import structlog
from django.db.utils import Error as DatabaseFault  # DatabaseError leaves InterfaceError out
from psycopg import sql

from resilience.own_connection import own_connection

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 1.0


class Pokes:
    """Waits for a poke or for time to pass. Without a connection only ticks count."""

    def __init__(self, channels: Sequence[str], *, deployment: str) -> None:
        self._channels = channels
        self._deployment = deployment
        self._held = own_connection()
        self._connection: psycopg.Connection | None = None
        self._retry_at = 0.0

    def wait(self, seconds: float) -> bool:
        """Up to `seconds`. True if poked."""
        connection = self._connected()
        if connection is None:
            time.sleep(seconds)
            return False
        readable, _, _ = select.select([connection.fileno()], [], [], seconds)
        return bool(readable) and self._drain(connection)

    def close(self) -> None:
        if self._connection is not None:
            self._connection = None
            self._held.__exit__(None, None, None)

    def _drain(self, connection: psycopg.Connection) -> bool:
        try:
            return any(
                note.payload in ("", self._deployment) or note.channel != "watchkeeper_messages"
                for note in connection.notifies(timeout=0)
            )
        except psycopg.Error as fault:
            log.warning("pokes_lost", error=str(fault))
            self._lose()
            return True

    def _connected(self) -> psycopg.Connection | None:
        if self._connection is None and self._channels and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RECONNECT_SECONDS
            self._connect()
        return self._connection

    def _connect(self) -> None:
        self._held = own_connection()
        try:
            connection = self._held.__enter__()
            connection.autocommit = True
            for channel in self._channels:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._connection = connection
        except (psycopg.Error, DatabaseFault) as fault:
            log.warning("pokes_not_heard", error=str(fault))
            self._lose()

    def _lose(self) -> None:
        self._connection = None
        try:
            self._held.__exit__(None, None, None)
        except (psycopg.Error, DatabaseFault, RuntimeError) as fault:
            log.debug("pokes_connection_gone", error=str(fault))
