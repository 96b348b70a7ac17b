"""The rule book: all that matching needs to know of rules and subscriptions, read once for a batch of events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog
from django.db import DatabaseError

from accounts.models import Channel
from alerting.models import AlertRule, Subscription
from vessels.models import Event, WatchlistEntry

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RuleBook:
    """Rules in force by area, with their subscriptions, channels and watchlists."""

    by_area: dict[int, list[AlertRule]]
    by_key: dict[int, AlertRule]
    subscriptions: dict[int, list[Subscription]]
    channels: dict[int, list[Channel]]
    watchlists: dict[int, frozenset[int]]

    def rules_of(self, event: Event) -> Sequence[AlertRule]:
        """The rules that use the event's area and were there when it was noticed: a new rule tells of nothing old,
        however late the event is matched."""
        return [rule for rule in self.by_area.get(event.area_id, ()) if rule.created_at <= event.detected_at]

    def rule(self, key: int) -> AlertRule:
        return self.by_key[key]

    def subscriptions_of(self, rule: AlertRule) -> Sequence[Subscription]:
        return self.subscriptions.get(rule.pk, ())

    def channels_of(self, subscription: Subscription) -> Sequence[Channel]:
        return self.channels.get(subscription.pk, ())

    def watchlist_of(self, rule: AlertRule) -> frozenset[int]:
        """The MMSIs of the rule's watchlist, empty where it has none."""
        return self.watchlists.get(rule.watchlist_id or 0, frozenset())


def read_rule_book(*, area_ids: Collection[int]) -> RuleBook:
    """The rules in force that use these areas.

    Subscriptions of deleted users are in it: what is owed to them is made, then cancelled in the open.
    """
    rules = list(AlertRule.objects.in_force().filter(areas__in=area_ids).distinct().order_by("pk"))
    by_key = {rule.pk: rule for rule in rules}
    by_area: dict[int, list[AlertRule]] = defaultdict(list)
    links = AlertRule.areas.through.objects.filter(alertrule__in=by_key, area__in=area_ids)
    for rule_id, area_id in links.order_by("alertrule_id").values_list("alertrule_id", "area_id"):
        by_area[area_id].append(by_key[rule_id])
    subscriptions: dict[int, list[Subscription]] = defaultdict(list)
    channels: dict[int, list[Channel]] = {}
    for subscription in _subscriptions(by_key):
        subscriptions[subscription.rule_id].append(subscription)
        channels[subscription.pk] = [link.channel for link in subscription.links.all()]
    return RuleBook(dict(by_area), by_key, dict(subscriptions), channels, _watchlists(rules))


def _subscriptions(rules: Collection[int]) -> list[Subscription]:
    try:
        return list(
            Subscription.objects.in_force()
            .filter(rule__in=rules)
            .select_related("user")
            .prefetch_related("links__channel__user")
            .order_by("pk")
        )
    except DatabaseError:
        log.exception("query_failed_user_profiles", during="matching", rules=len(rules))
        raise


def _watchlists(rules: Collection[AlertRule]) -> dict[int, frozenset[int]]:
    wanted = {rule.watchlist_id for rule in rules if rule.watchlist_id}
    members: dict[int, set[int]] = defaultdict(set)
    for watchlist_id, mmsi in WatchlistEntry.objects.filter(watchlist__in=wanted).values_list("watchlist_id", "mmsi"):
        members[watchlist_id].add(mmsi)
    return {key: frozenset(value) for key, value in members.items()}
