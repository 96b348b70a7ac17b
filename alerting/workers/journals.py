"""The journal of this worker, and the reading of those that dead ones of this machine left."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from accounts.models import ChannelKind
from alerting.cycle.journal import Journal
from alerting.cycle.recovery import Recovery, acceptances_recover
from alerting.transports.limits import limits_for
from alerting.workers.this_worker import this_worker_name

# Given to a server when its data is made, and kept by its copies. Its address would not do: it may have several.
_WHICH_SERVER = "SELECT system_identifier FROM pg_control_system()"
_MAY_ASK = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"


def journals_folder() -> Path:
    """One for each database: what was sent for another is none of its messages. Raises what the database does."""
    name = quote(connection.settings_dict["NAME"], safe="")
    return settings.VAR_DIR / "journals" / f"{name}@{_server()}"


@cache
def _server() -> int:
    """Which server the database is on; 0 where that is kept from us, and then no two should share `VAR_DIR`."""
    with connection.cursor() as cursor:
        cursor.execute(_MAY_ASK)
        if cursor.fetchone() == (True,):
            cursor.execute(_WHICH_SERVER)
            return int(cursor.fetchone()[0])
    return 0


@cache
def journal_here() -> Journal:
    """Of this process: first asked for by its first cycle, after the fork."""
    connections = sum(limits_for(kind).connections for kind in ChannelKind.values)
    return Journal(journals_folder(), this_worker_name(), pages=connections, missed=True)


def recovery_step() -> Recovery:
    """What was accepted and not recorded when a worker died. Raises what the database and the disk do."""
    return acceptances_recover(journals_folder())


def recovery_of(worker: str) -> Recovery:
    """The same of one worker that is seen to die."""
    return acceptances_recover(journals_folder(), worker=worker)
