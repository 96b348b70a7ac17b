"""Health over HTTP: `/healthz` for "restart me", `/readyz` for "send me no traffic"."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from resilience.heartbeats import silent

_STARTED = timezone.now()


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Database reachable, migrations applied, heartbeats fresh: 200, else 503; JSON says which.

    `settings.EXPECTED_HEARTBEATS` (name: timedelta) lists the parts that this installation runs.
    """
    checks = {
        "database": _answer(_database),
        "migrations": _answer(_migrations),
        "heartbeats": _answer(lambda: _heartbeats(timezone.now())),
    }
    ready = all(answer == "ok" for answer in checks.values())
    body: dict[str, Any] = {"status": "ok" if ready else "unready", "checks": checks}
    return JsonResponse(body, status=200 if ready else 503)


def _answer(check: Callable[[], str]) -> str:
    """A check that raises has failed. The page is open to all, so it names the kind of fault only."""
    try:
        return check()
    except Exception as error:
        return f"failed: {type(error).__name__}"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _migrations() -> str:
    waiting = _unapplied()
    return "ok" if waiting == 0 else f"{waiting} not applied"


def _unapplied() -> int:
    if _all_applied.cache_info().currsize:
        return 0
    executor = MigrationExecutor(connection)
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if waiting == 0:
        _all_applied()
    return waiting


@functools.cache
def _all_applied() -> bool:
    """Once true it stays so for this code; reading all migrations at each probe costs too much."""
    return True


def _heartbeats(now: datetime) -> str:
    expected: Mapping[str, timedelta] = getattr(settings, "EXPECTED_HEARTBEATS", {})
    quiet = silent(expected, now=now, since=_STARTED)
    return "ok" if not quiet else f"silent: {', '.join(sorted(quiet))}"
