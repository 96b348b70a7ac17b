"""Subscriptions: each rule of the organisation, and whether, when and how one hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Channel, User
from accounts.pages.member import MemberRequest, member
from alerting.models import AlertRule, Cadence, Subscription
from alerting.pages.rule_words import RuleWords, rule_in_words
from alerting.pages.subscription_form import SubscriptionForm
from alerting.subscriptions import subscription_save


@dataclass(frozen=True, slots=True)
class RuleCard:
    """One rule with the user's forms: one for each subscription, or a blank one.

    `besides` is a blank form for the cadences that the subscriptions leave: at once and once a day, for instance.
    """

    rule: AlertRule
    words: RuleWords
    rows: tuple[FormRow, ...]
    besides: FormRow | None


@dataclass(frozen=True, slots=True)
class FormRow:
    """A form, and when it is next due if it stays as it is."""

    form: SubscriptionForm
    next: str


@member
@require_safe
def page(request: MemberRequest) -> HttpResponse:
    """All rules of the organisation."""
    cards = [_card(rule, request.user, timezone.now()) for rule in _rules(request)]
    usable = any(channel.is_usable for channel in request.user.channels.all())
    return render(request, "alerting/subscriptions.html", {"cards": cards, "usable": usable})


@member
@require_POST
def save(request: MemberRequest, rule: int) -> HttpResponse:
    """Saves one form; htmx gets its card back, others the page."""
    asked = get_object_or_404(_rules(request), pk=rule)
    now = timezone.now()
    form = SubscriptionForm(
        request.POST,
        user=request.user,
        rule=asked,
        own_channels=list(request.user.channels.order_by("pk")),
        subscription=_subscription(request, asked),
    )
    saved = _save(form, now)
    if not request.htmx:
        messages.add_message(request, *_answer(form, saved, now))
        return redirect("subscriptions")
    if saved is not None:
        asked = _rules(request).get(pk=rule)
    shown = {
        "card": _card(asked, request.user, now, wrong=None if saved else form),
        "said": _answer(form, saved, now)[1],
        "saved": saved,
    }
    return render(request, "alerting/subscription_saved.html", shown)


def _rules(request: MemberRequest) -> QuerySet[AlertRule]:
    own = Subscription.objects.present().filter(user=request.user).prefetch_related("links").order_by("pk")
    return (
        AlertRule.objects.present()
        .of(request.organisation)
        .select_related("watchlist")
        .prefetch_related("areas", Prefetch("subscriptions", queryset=own, to_attr="own_subscriptions"))
    )


def _subscription(request: MemberRequest, rule: AlertRule) -> Subscription | None:
    """The one that the form says it changes, if the user still has it."""
    key = request.POST.get("subscription", "")
    own = Subscription.objects.present().filter(user=request.user, rule=rule)
    return own.filter(pk=int(key)).first() if key.isdecimal() else None


def _card(rule: AlertRule, user: User, now: datetime, *, wrong: SubscriptionForm | None = None) -> RuleCard:
    """`wrong` is a form that could not be saved: it is shown in place of its own."""
    channels: list[Channel] = list(user.channels.order_by("pk"))
    own: list[Subscription] = list(getattr(rule, "own_subscriptions", ()))

    def row(subscription: Subscription | None, besides: Sequence[str] = ()) -> FormRow:
        form = SubscriptionForm(user=user, rule=rule, own_channels=channels, subscription=subscription, besides=besides)
        if wrong is not None and wrong.subscription == subscription:
            form = wrong
        return FormRow(form, form.next_words(now))

    taken = [subscription.cadence for subscription in own]
    words = rule_in_words(rule, [area.name for area in rule.areas.all()])
    rows = tuple(row(subscription) for subscription in own) or (row(None),)
    return RuleCard(rule, words, rows, row(None, taken) if 0 < len(taken) < len(Cadence) else None)


def _save(form: SubscriptionForm, now: datetime) -> Subscription | None:
    if not form.is_valid():
        return None
    said = form.cleaned_data
    try:
        return subscription_save(
            user=form.user,
            rule=form.rule,
            cadence=said["cadence"],
            at=said["at"],
            weekday=said["weekday"],
            channels=list(said["channels"]),
            active=said["active"],
            now=now,
            subscription=form.subscription,
        )
    except ValidationError as fault:
        form.add_error(None, fault)
        return None


def _answer(form: SubscriptionForm, saved: Subscription | None, now: datetime) -> tuple[int, str]:
    """A level of Django's messages, and what to say."""
    if saved is None:
        return messages.ERROR, f"{form.rule}: not saved. {_first_error(form)}"
    if not saved.active:
        return messages.SUCCESS, f"Saved: {form.rule} is off."
    due = form.next_words(now)
    return messages.SUCCESS, f"Saved: {form.rule}, " + (f"next: {due}." if due else "at once.")


def _first_error(form: SubscriptionForm) -> str:
    return next((str(error) for errors in form.errors.values() for error in errors), "")
