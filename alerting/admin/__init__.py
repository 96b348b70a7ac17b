"""The admin of alerting: rules and subscriptions, notifications and messages, and the record of the cycles."""

from __future__ import annotations

from alerting.admin import notifications, records, rules

__all__ = ["notifications", "records", "rules"]
