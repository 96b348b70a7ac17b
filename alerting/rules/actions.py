"""Saving and archiving rules: checked, versioned, and the watch told which areas are in use."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from accounts.models import User
from accounts.versions import version_record
from alerting.models import AlertRule
from alerting.rendering.rule_templates import TemplateFault, validate_template
from vessels.areas import announce_areas
from vessels.models import Area, AreaUse, EventKind


def rule_check(rule: AlertRule) -> None:
    """Raise `ValidationError`, by field, for what the database's constraints cannot see."""
    faults: dict[str, str] = {}
    if EventKind.MISSING in rule.kinds and rule.all_vessels and not rule.accept_noise:
        faults["accept_noise"] = (
            "A rule on missing for all vessels needs accept_noise: most gaps are vessels that left the coverage. "
            "Choose vessels, or accept the noise."
        )
    if {EventKind.MISSING, EventKind.RESUMED} & set(rule.kinds) and not rule.missing_for:
        faults["missing_for"] = "Say how long a vessel must be silent, such as 6h."
    # a form of an organisation's own staff sets the organisation only after this check, and offers its lists only
    if rule.watchlist is not None and rule.organisation_id not in (None, rule.watchlist.organisation_id):
        faults["watchlist"] = "The watchlist belongs to another organisation."
    if rule.template:
        try:
            validate_template(rule.template)
        except TemplateFault as fault:
            faults["template"] = str(fault)
    if faults:
        raise ValidationError(faults)


@transaction.atomic
def rule_save(*, rule: AlertRule, areas: Collection[Area], at: datetime, by: User | None = None) -> AlertRule:
    """Store the rule with its areas, keep its version, and bring the areas in use up to date.

    Raises `ValidationError` when the rule cannot work.
    """
    rule_check(rule)
    foreign = [area.name for area in areas if area.organisation_id not in (None, rule.organisation_id)]
    if foreign:
        raise ValidationError({"areas": f"These areas belong to another organisation: {', '.join(foreign)}."})
    rule.full_clean()
    if rule._state.adding:  # noqa: SLF001
        rule.created_at = at
    rule.save()
    rule.areas.set(areas)
    rule_changed(rule=rule, at=at, by=by)
    return rule


@transaction.atomic
def rule_archive(*, rule: AlertRule, at: datetime, by: User | None = None) -> None:
    """Take the rule out of use. It stays, because notifications point at it."""
    rule.archived_at, rule.active = at, False
    rule.save(update_fields=["archived_at", "active"])
    rule_changed(rule=rule, at=at, by=by)


def rule_changed(*, rule: AlertRule, at: datetime, by: User | None = None) -> None:
    """Keep the version of a rule just saved, and tell the watch. Call it in the transaction that saved it."""
    version_record(rule, at=at, by=by)
    area_uses_refresh(at=at)


@transaction.atomic
def area_uses_refresh(*, at: datetime) -> None:
    """Make `AreaUse` say what the rules in force look for; what stays in use keeps its `since`."""
    # one writer at a time: two rules saved at once must not each miss the other
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('watchkeeper area uses'))")
    wanted = set()
    rules = AlertRule.objects.in_force().filter(areas__archived_at__isnull=True)
    for area_id, missing_for in rules.values_list("areas", "missing_for"):
        wanted |= {(area_id, None)} | ({(area_id, missing_for)} if missing_for else set())
    present = {(use.area_id, use.duration): use.pk for use in AreaUse.objects.all()}
    ended = [pk for key, pk in present.items() if key not in wanted]
    begun = wanted - present.keys()
    AreaUse.objects.filter(pk__in=ended).delete()
    AreaUse.objects.bulk_create(AreaUse(area_id=area_id, duration=duration, since=at) for area_id, duration in begun)
    if ended or begun:
        announce_areas()
