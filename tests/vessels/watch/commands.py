"""The real command as a process of its own, on the test's database."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from vessels.areas import AreaContent, area_save, stored_geometry
from vessels.models import Area, AreaUse, Event

ROOT = Path(__file__).resolve().parents[3]


def database_url() -> str:
    """The test's own database, for another process."""
    settings = connection.settings_dict
    host, port = quote(str(settings["HOST"]), safe=""), settings["PORT"] or 5432
    return f"postgresql://{settings['USER']}@/{settings['NAME']}?host={host}&port={port}"


def start_watch(*arguments: str, database: str = "") -> subprocess.Popen[str]:
    environment = os.environ | {"DATABASE_URL": database or database_url(), "LOG_FORMAT": "json"}
    return subprocess.Popen(
        [sys.executable, "manage.py", "watch", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_watch(*arguments: str) -> tuple[int, str]:
    process = start_watch(*arguments)
    output, _ = process.communicate(timeout=90)
    return process.returncode, output


def watch_here(*arguments: str) -> str:
    """The same command in this process, which spares the start: for what it writes, not for how it ends."""
    said = io.StringIO()
    call_command("watch", *arguments, stdout=said)
    return said.getvalue()


def terminate(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    return process.returncode, output


def use_area(name: str, geometry: dict[str, Any], *, missing: Iterable[timedelta] = ()) -> Area:
    """Save an area, and let a rule use it."""
    now = timezone.now()
    content = AreaContent(name, stored_geometry(geometry))
    area, _ = area_save(organisation=None, content=content, at=now)
    for duration in (None, *missing):
        AreaUse.objects.get_or_create(area=area, duration=duration, defaults={"since": now})
    return area


def box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def exported() -> list[tuple[Any, ...]]:
    """What an export would say of all events, but for when they were detected."""
    fields = ("kind", "mmsi", "area__name", "occurred_at", "lon", "lat", "duration", "not_before", "not_after")
    return sorted(Event.objects.values_list(*fields), key=str)


def wait_for(what: Callable[[], object], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class Door:
    """The test's database behind a socket that can be taken away from a process that uses it."""

    def __init__(self) -> None:
        settings = connection.settings_dict
        self.folder = Path(tempfile.mkdtemp(prefix="wk-door-"))  # a socket's path may not be long
        name = f".s.PGSQL.{settings['PORT'] or 5432}"
        self.link = self.folder / name
        self.link.symlink_to(Path(str(settings["HOST"])) / name)
        host, port = quote(str(self.folder), safe=""), settings["PORT"] or 5432
        self.url = f"postgresql://{settings['USER']}@/{settings['NAME']}?host={host}&port={port}"

    def shut(self) -> None:
        self.link.unlink()
        with connection.cursor() as cursor:
            cursor.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()"""
            )

    def remove(self) -> None:
        shutil.rmtree(self.folder)


class Harbour:
    """An NMEA server on loopback that says what it is told to everyone connected."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def source(self) -> str:
        return f"nmea+tcp://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            self.clients.append(client)

    def say(self, *sentences: str) -> None:
        wait_for(lambda: self.clients)
        for client in self.clients:
            client.sendall("".join(f"{sentence}\r\n" for sentence in sentences).encode())

    def hang_up(self) -> None:
        while self.clients:
            client = self.clients.pop()
            client.shutdown(socket.SHUT_RDWR)
            client.close()

    def close(self) -> None:
        self.hang_up()
        self.server.close()
