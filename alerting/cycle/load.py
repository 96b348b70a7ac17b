"""Bulk look-ups of all that a claim needs. One that fails fails the cycle loudly and burns no attempt."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import TypeVar

from django.db.models import OuterRef, Prefetch, Subquery

from alerting.cycle.any_of import any_of
from alerting.cycle.queue import Claim
from alerting.cycle.rows import (
    ChannelRow,
    MessageRow,
    UserRow,
    channel_rows,
    large_message_rows,
    message_rows,
    user_rows,
)
from alerting.cycle.turns import in_turn
from alerting.models import (
    BARE_KINDS,
    Digest,
    MessageKind,
    Notification,
    SubscriptionChannel,
)
from vessels.models import Area, Vessel

Found = TypeVar("Found")

_LANE, _LANE_AND_OWNER = attrgetter("lane"), attrgetter("lane", "organisation_id")


class LookUpFailed(Exception):
    """A bulk look-up failed of this cause; `event` is its name in the log. Nothing can be sent without it."""

    def __init__(self, event: str, rows: int, cause: Exception) -> None:
        super().__init__(f"{event} ({rows} rows asked for)")
        self.event = event
        self.cause = cause


@dataclass(frozen=True, slots=True)
class DigestWindow:
    """What a digest says of its window: it began when the digest before it was due, if there was one."""

    cadence: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The rows that stages look things up in; what is missing here was not found.

    Messages stand in the order in which they are prepared: ways out in turn, and organisations on each, so that a
    single alert waits for no flood in its own claim. Large ones come last.

    Whoever works on a message takes it out, so that its words go with it.
    """

    messages: deque[MessageRow]
    large: deque[MessageRow]  # the words of each are a query of their own, in its own step
    users: dict[int, UserRow]
    channels: dict[int, ChannelRow]
    vessels: dict[int, Vessel]  # by MMSI
    notifications: dict[int, list[Notification]]  # by message; of a summary, those that it tells of
    digests: dict[int, DigestWindow] = field(default_factory=dict)  # by message
    links: frozenset[tuple[int, int]] = frozenset()  # subscription and channel


def load(claimed: Claim) -> Loaded:
    """Everything for the claimed messages. Raises `LookUpFailed`."""
    pending = "failed_query_pending_notifications"
    keys = claimed.message_ids
    usual = _ask(pending, keys, lambda: message_rows(keys, claimed.token))
    large: list[MessageRow] = []
    if len(usual) < len(keys):  # nearly never: else this one query is all
        rest = set(keys).difference(row.pk for row in usual)
        large = _ask(pending, rest, lambda: large_message_rows(rest, claimed.token))
    messages = usual + large
    notifications = _ask(pending, keys, lambda: _notifications(messages))
    flat = [one for several in notifications.values() for one in several]
    mmsis = {one.event.mmsi for one in flat}
    user_ids = {message.user_id for message in messages}
    channel_ids = {message.channel_id for message in messages}
    return Loaded(
        messages=deque(in_turn(in_turn(usual, owner=_LANE_AND_OWNER), owner=_LANE)),
        large=deque(large),
        users=_ask("query_failed_user_profiles", user_ids, lambda: user_rows(user_ids)),
        channels=_ask("query_failed_user_profiles", channel_ids, lambda: channel_rows(channel_ids)),
        vessels=_ask("query_failed_vessel_profiles", mmsis, lambda: _vessels(mmsis)),
        notifications=notifications,
        digests=_ask(pending, keys, lambda: _digests(messages)),
        links=_ask(pending, flat, lambda: _links(flat)),
    )


def _ask(event: str, asked: Iterable[object], query: Callable[[], Found]) -> Found:
    try:
        return query()
    except Exception as fault:
        raise LookUpFailed(event, len(list(asked)), fault) from fault


def _notifications(messages: Sequence[MessageRow]) -> dict[int, list[Notification]]:
    told = {m.pk for m in messages if m.kind != MessageKind.SUMMARY and m.kind not in BARE_KINDS}
    summarised = {m.pk for m in messages if m.kind == MessageKind.SUMMARY}
    # each event, area and rule once, however many hear of it: joined, they would be made again for each of them
    wide = (
        Notification.objects.select_related("subscription")
        .prefetch_related(
            "organisation",
            "event",
            Prefetch("event__area", Area.objects.defer("geometry")),  # megabytes, and no message shows it
            "event__feed",
            "subscription__rule",
        )
        .order_by("pk")
    )
    found: dict[int, list[Notification]] = defaultdict(list)
    for one in wide.filter(any_of("message", told), state="pending") if told else ():
        found[one.message_id or 0].append(one)
    for one in wide.filter(any_of("summary", summarised)) if summarised else ():
        found[one.summary_id or 0].append(one)
    return dict(found)


def _digests(messages: Iterable[MessageRow]) -> dict[int, DigestWindow]:
    digests = {message.pk for message in messages if message.kind == MessageKind.DIGEST}
    if not digests:
        return {}
    same = {name: OuterRef(name) for name in ("user", "channel", "cadence")}
    before = Digest.objects.filter(**same, due_at__lt=OuterRef("due_at")).order_by("-due_at").values("due_at")[:1]
    rows = Digest.objects.filter(any_of("message", digests)).annotate(since=Subquery(before))
    return {row.message_id: DigestWindow(row.cadence, row.since) for row in rows}


def _vessels(mmsis: Collection[int]) -> dict[int, Vessel]:
    rows = Vessel.objects.filter(any_of("mmsi", mmsis)) if mmsis else ()
    return {vessel.mmsi: vessel for vessel in rows}


def _links(notifications: Sequence[Notification]) -> frozenset[tuple[int, int]]:
    if not notifications:
        return frozenset()
    rows = SubscriptionChannel.objects.filter(any_of("subscription", {one.subscription_id for one in notifications}))
    return frozenset(rows.values_list("subscription_id", "channel_id"))
