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


def journals_folder() -> Path:
    """One for each database: what was sent for another is none of its messages."""
    return settings.VAR_DIR / "journals" / quote(connection.settings_dict["NAME"], safe="")


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
