"""Applying a setup file: all or nothing, and twice is the same as once."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from alerting.setup.alerts import apply_feeds, apply_rules, apply_subscriptions
from alerting.setup.changes import Applying, Change
from alerting.setup.document import Document
from alerting.setup.people import apply_organisations, apply_users
from alerting.setup.places import apply_areas, apply_watchlists

# Each section may name what an earlier one makes.
_SECTIONS = (
    apply_organisations,
    apply_users,
    apply_areas,
    apply_watchlists,
    apply_rules,
    apply_subscriptions,
    apply_feeds,
)


def apply_document(document: Document, *, now: datetime, dry_run: bool = False) -> list[Change]:
    """Make the database agree with the document; what changed, or would change.

    Raises `SetupError` that names line and field; then nothing has changed.
    """
    run = Applying(document=document, now=now)
    with transaction.atomic():
        for apply_section in _SECTIONS:
            apply_section(run)
        transaction.set_rollback(dry_run)
    return run.changes
