"""The form of one subscription."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from typing import Any

from django import forms

from accounts.local_time import WEEKDAYS, next_in_words
from accounts.models import Channel, User
from alerting.models import AlertRule, Subscription
from alerting.subscriptions import next_due

_CADENCES = {"realtime": "At once", "daily": "Daily digest", "weekly": "Weekly digest"}
_STEP = 30  # minutes between the times of day that are offered


class SubscriptionForm(forms.Form):
    """On or off, how soon, through which channels. Only the user's own channels can be chosen."""

    active = forms.BooleanField(required=False)
    cadence = forms.ChoiceField(choices=list(_CADENCES.items()), label="How soon")
    at = forms.TypedChoiceField(required=False, coerce=time.fromisoformat, empty_value=None, label="At")
    weekday = forms.TypedChoiceField(
        choices=list(enumerate(WEEKDAYS)), required=False, coerce=int, empty_value=None, label="On"
    )
    channels = forms.ModelMultipleChoiceField(Channel.objects.none(), required=False)

    def __init__(
        self,
        data: Any = None,
        *,
        user: User,
        rule: AlertRule,
        own_channels: Sequence[Channel],
        subscription: Subscription | None = None,
        besides: Sequence[str] = (),
    ) -> None:
        """`besides`: the cadences that the user has already, for a blank form that offers the others."""
        self.user, self.rule, self.subscription = user, rule, subscription
        self.own_channels = own_channels
        self._offered = [cadence for cadence in _CADENCES if cadence not in besides]
        prefix = f"rule-{rule.pk}-{subscription.pk}" if subscription else f"rule-{rule.pk}"
        super().__init__(data, auto_id=f"{prefix}-%s", initial=self._as_it_is())
        channels = self.fields["channels"]
        assert isinstance(channels, forms.ModelMultipleChoiceField)
        channels.queryset = Channel.objects.filter(user=user)
        cadence = self.fields["cadence"]
        assert isinstance(cadence, forms.ChoiceField)
        cadence.choices = [(name, _CADENCES[name]) for name in self._offered]
        at = self.fields["at"]
        assert isinstance(at, forms.TypedChoiceField)
        at.choices = _times_of_day(subscription.at if subscription else None)

    def _as_it_is(self) -> dict[str, object]:
        is_on = self.subscription
        if is_on is None:  # the first channel that works is proposed, so that turning it on is one click
            proposed = [channel.pk for channel in self.own_channels if channel.is_usable][:1]
            return {"cadence": self._offered[0], "at": "08:00", "weekday": 0, "channels": proposed}
        return {
            "active": is_on.active,
            "cadence": is_on.cadence,
            "at": f"{is_on.at or Subscription.DEFAULT_AT:%H:%M}",
            "weekday": is_on.weekday or 0,
            "channels": [link.channel_id for link in is_on.links.all()],
        }

    @property
    def is_on(self) -> bool:
        return bool(self["active"].value())

    @property
    def chosen_cadence(self) -> str:
        return str(self["cadence"].value())

    def channel_rows(self) -> list[tuple[Channel, bool, bool]]:
        """Each channel, whether it is chosen, and whether it can be: one that does not work can only be taken away."""
        chosen = {str(key) for key in self["channels"].value() or ()}
        return [
            (channel, str(channel.pk) in chosen, channel.is_usable or str(channel.pk) in chosen)
            for channel in self.own_channels
        ]

    def next_words(self, now: datetime) -> str:
        """ "tomorrow 08:00 NZDT"; empty for realtime, and for what cannot be saved."""
        if self.errors:
            return ""
        at, weekday = self["at"].value(), self["weekday"].value()
        due = next_due(
            cadence=self.chosen_cadence,
            at=time.fromisoformat(at) if at else None,
            weekday=int(weekday) if weekday not in (None, "") else None,
            zone_name=self.user.time_zone,
            now=now,
        )
        return next_in_words(due, now, self.user.time_zone, self.user.date_format) if due else ""


def _times_of_day(chosen: time | None) -> list[tuple[str, str]]:
    times = {f"{minutes // 60:02}:{minutes % 60:02}" for minutes in range(0, 24 * 60, _STEP)}
    if chosen is not None:
        times.add(f"{chosen:%H:%M}")
    return [(text, text) for text in sorted(times)]
