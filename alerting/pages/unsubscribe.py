"""The way out of a subscription by the link in a message, without a sign-in."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from accounts.models import User
from alerting.links import LinkFault, UnsubscribeLink, unsubscribe_read
from alerting.models import Message, Subscription
from alerting.subscriptions import subscription_end

# Mail scanners open links, and some run scripts, within minutes of a mail's arrival; later it is a person, who need not
# click twice.
SCANNED_WITHIN = timedelta(minutes=5)


@never_cache
@csrf_exempt  # the token is the permission; mail programs post without cookies (RFC 8058, section 3.2)
def page(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks; POST ends the subscriptions, from the form or as a mail program's one-click."""
    try:
        link = unsubscribe_read(token)
    except LinkFault as fault:
        return render(request, "alerting/unsubscribe_over.html", {"fault": fault}, status=410)
    named = list(_named(link).select_related("rule"))
    going = [subscription for subscription in named if subscription.deleted_at is None]
    # The link may stand in a shared Slack channel, or in a mail that was passed on: the page says whose it is, by name
    # alone, since whoever has the link would read an address too.
    reader = User.objects.filter(pk=link.user_id, deleted_at__isnull=True).first()
    if request.method == "POST":
        _end(link)
        return render(request, "alerting/unsubscribed.html", {"reader": reader, "ended": going or named})
    if reader is None or not going:
        return render(request, "alerting/unsubscribed.html", {"reader": reader, "ended": named, "already": True})
    shown = {"reader": reader, "going": going, "submit_itself": _is_past_scanners(link, timezone.now())}
    return render(request, "alerting/unsubscribe.html", shown)


def _named(link: UnsubscribeLink) -> QuerySet[Subscription]:
    return Subscription.objects.filter(pk__in=link.subscription_ids, user_id=link.user_id).order_by("pk")


def _is_past_scanners(link: UnsubscribeLink, now: datetime) -> bool:
    """Counted from when the message was sent, not from when the link was made: a mail may be put off for hours between.

    Where that is not known, a person clicks.
    """
    if link.message_id is None:
        return False
    sent = Message.objects.filter(pk=link.message_id, user_id=link.user_id, sent_at__lt=now - SCANNED_WITHIN)
    return sent.exists()


@transaction.atomic
def _end(link: UnsubscribeLink) -> None:
    for subscription in _named(link).present().select_for_update():  # type: ignore[attr-defined]
        subscription_end(subscription=subscription, now=timezone.now())
