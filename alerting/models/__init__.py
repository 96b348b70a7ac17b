"""Alert rules, subscriptions, notifications, messages, and the record of what was done."""

from __future__ import annotations

from alerting.models.bounce import BounceReport
from alerting.models.lease import Lease
from alerting.models.message import (
    BARE_KINDS,
    DIGEST_KINDS,
    FINAL_STATES,
    REALTIME_KINDS,
    RETRYABLE_STATES,
    WORDS,
    Attempt,
    Death,
    Digest,
    ErrorKind,
    Message,
    MessageKind,
    State,
    lane_name,
    lane_of,
)
from alerting.models.notification import MatchFailure, Notification
from alerting.models.operation import OperatorAction, SendCycleRun
from alerting.models.rule import AlertRule, AlertRuleVersion, Severity, ShipType
from alerting.models.subscription import Cadence, Subscription, SubscriptionChannel, Weekday

__all__ = [
    "BARE_KINDS",
    "DIGEST_KINDS",
    "FINAL_STATES",
    "REALTIME_KINDS",
    "RETRYABLE_STATES",
    "WORDS",
    "AlertRule",
    "AlertRuleVersion",
    "Attempt",
    "BounceReport",
    "Cadence",
    "Death",
    "Digest",
    "ErrorKind",
    "Lease",
    "MatchFailure",
    "Message",
    "MessageKind",
    "Notification",
    "OperatorAction",
    "SendCycleRun",
    "Severity",
    "ShipType",
    "State",
    "Subscription",
    "SubscriptionChannel",
    "Weekday",
    "lane_name",
    "lane_of",
]
