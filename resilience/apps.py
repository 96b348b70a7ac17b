"""The ground floor as a Django app: logging, metrics and Sentry are switched on when Django starts."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings


class ResilienceConfig(AppConfig):
    """Knows no vessel and no alert; everything above it reports here."""

    name = "resilience"
    verbose_name = "Operations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from resilience.logs import configure_logging
        from resilience.sentry import sentry_start

        configure_logging(level=settings.LOG_LEVEL, log_format=settings.LOG_FORMAT)
        sentry_start(dsn=settings.SENTRY_DSN, environment=settings.ENVIRONMENT_NAME)
