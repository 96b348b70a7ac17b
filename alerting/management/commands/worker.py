"""`manage.py worker realtime|digest|housekeeping`: a deployment of django-q2 workers that cannot stall in silence."""

from __future__ import annotations

import os
import sys
import threading
from argparse import ArgumentParser
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db.utils import Error as DatabaseFault
from django.utils import timezone

from alerting.workers.names import DEPLOYMENTS, SILENT_AFTER, heartbeat_name
from resilience.heartbeats import age, instance_name
from resilience.metrics_folder import metrics_folder_of

DATABASE_AWAY = 3  # argparse ends with 2, and all else with 1
CHECK_SECONDS = 10.0


class Command(BaseCommand):
    """Send what is due (realtime, digest), or keep house; with --check only look whether it lives."""

    help = __doc__ or ""
    requires_system_checks = []  # a fault in a page must not keep mails from leaving

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("deployment", choices=DEPLOYMENTS)
        parser.add_argument(
            "--check",
            action="store_true",
            help=f"Exit 0 if the deployment of this instance (WORKER_INSTANCE, by default the host's name) made "
            f"progress with its cycles in the last {SILENT_AFTER.seconds} seconds, else 1; {DATABASE_AWAY} where the "
            "database does not answer, which no restart mends.",
        )

    def handle(self, *args: Any, deployment: str, check: bool, **options: Any) -> None:
        if check:
            sys.exit(self._check(deployment))
        if os.environ.get("Q_CLUSTER_NAME") != deployment:
            self._start_again(deployment)
        from alerting.workers.deployment import deployment_run

        sys.exit(deployment_run(deployment))

    def _check(self, deployment: str) -> int:
        name = instance_name(heartbeat_name(deployment), settings.WORKER_INSTANCE)
        try:
            since = _age_within(CHECK_SECONDS, name)
        except (DatabaseFault, TimeoutError) as fault:
            self.stdout.write(f"{name}: the database does not answer: {str(fault).splitlines()[0]}")
            return DATABASE_AWAY
        if since is None:
            self.stdout.write(f"{name}: no sign of life yet")
            return 1
        self.stdout.write(f"{name}: last sign of life {since.total_seconds():.1f} s ago")
        return 0 if since <= SILENT_AFTER else 1

    def _start_again(self, deployment: str) -> None:
        """The same process once more: django-q2 and prometheus_client read their names while they are imported."""
        environment = os.environ | {"Q_CLUSTER_NAME": deployment}
        if settings.METRICS_PORT:
            folder = metrics_folder_of(
                settings.PROMETHEUS_MULTIPROC_DIR or settings.VAR_DIR / "metrics",
                f"worker-{deployment}",
                instance=settings.ENV.worker_instance,
            )
            folder.mkdir(parents=True, exist_ok=True)
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def _age_within(seconds: float, name: str) -> timedelta | None:
    """Raises `TimeoutError`: a server that accepts and says nothing would hold the check up for as long as TCP does."""
    answer: Future[timedelta | None] = Future()

    def ask() -> None:
        try:
            answer.set_result(age(name, timezone.now()))
        except Exception as fault:
            answer.set_exception(fault)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:  # its own says nothing
        raise TimeoutError(f"nothing in {seconds:.0f} seconds") from None
