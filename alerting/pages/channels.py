"""Channels: which ways reach a user, proving a new one, and trying one out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.channels import channel_add, channel_secret_rotate, channel_verify
from accounts.models import Channel, ChannelKind
from accounts.pages.member import MemberRequest, member
from alerting.cycle.queue import message_new, senders_wake
from alerting.links import ChannelLink, LinkFault, channel_verify_read
from alerting.models import Cadence, Message, MessageKind
from alerting.proving import channel_proof_send
from alerting.transports import TransportError, guard_for
from alerting.transports.addresses import AddressRefused, address_check

WAIT_SECONDS = 60  # between two messages to one channel that its user asks for
LOOK_UP_SECONDS = 5.0
TOO_SOON = "Something was sent to {} a moment ago: please wait a minute."
SHOWN_ONCE = "channels.shown_once"  # in the session, from the form to the next page


class ChannelForm(forms.Form):
    """A new channel."""

    kind = forms.ChoiceField(choices=ChannelKind.choices, initial=ChannelKind.EMAIL, label="Kind")
    name = forms.CharField(
        max_length=100, label="Name", help_text="What you call it: work, duty phone, operations desk."
    )
    address = forms.CharField(
        max_length=2000,
        label="Address",
        help_text="The e-mail address, or the URL to post to: Slack’s incoming webhook, or your own.",
        widget=forms.TextInput(attrs={"autocomplete": "email", "autocapitalize": "none", "spellcheck": "false"}),
    )

    def clean(self) -> dict[str, Any]:
        """An address of this kind, and for a URL one that we may post to."""
        given: dict[str, Any] = super().clean() or {}
        kind, address = given.get("kind", ""), given.get("address", "")
        if not kind or not address:
            return given
        try:
            if kind == ChannelKind.EMAIL:
                forms.EmailField(max_length=254).clean(address)
            elif guard := guard_for(kind):
                address_check(address, guard, seconds=LOOK_UP_SECONDS)
        except (ValidationError, AddressRefused) as fault:
            self.add_error("address", fault.messages if isinstance(fault, ValidationError) else str(fault))
        return given


@member
@never_cache
def page(request: MemberRequest) -> HttpResponse:
    """The list, and the form for one more. A new secret is shown here, once."""
    form = ChannelForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data | {"kind": ChannelKind(form.cleaned_data["kind"])}
        try:
            channel = channel_add(user=request.user, **given, now=timezone.now())
        except ValidationError as fault:
            form.add_error(None, ValidationError(fault.messages))
        else:
            _show_secret_once(request, channel)
            _send_link(request, channel)
            return redirect("channels")
    own = request.user.channels.order_by("pk")
    shown = {"channels": own, "form": form, "secret": request.session.pop(SHOWN_ONCE, None), "now": timezone.now()}
    return render(request, "alerting/channels.html", shown)


@member
@require_POST
def send_link(request: MemberRequest, channel: int) -> HttpResponse:
    """The verification link once more, or to take up a disabled channel again."""
    asked = get_object_or_404(request.user.channels, pk=channel)
    if _may_send(asked):
        _send_link(request, asked)
    else:
        messages.warning(request, TOO_SOON.format(asked.name))
    return redirect("channels")


@member
@require_POST
def send_test(request: MemberRequest, channel: int) -> HttpResponse:
    """A test message through the same queue and sender as every alert."""
    asked = get_object_or_404(request.user.channels, pk=channel)
    if not asked.is_usable:
        messages.error(request, f"{asked.name} does not work yet: verify it first.")
    elif not _may_send(asked):
        messages.warning(request, TOO_SOON.format(asked.name))
    else:
        _queue_test(request, asked)
        messages.success(request, f"A test message to {asked.address} is on its way. It should be there in a minute.")
    return redirect("channels")


@member
@require_POST
def new_secret(request: MemberRequest, channel: int) -> HttpResponse:
    """Another secret for a webhook; it is shown on the next page, and never again."""
    asked = get_object_or_404(request.user.channels, pk=channel, kind=ChannelKind.WEBHOOK)
    _show_secret_once(request, channel_secret_rotate(channel_id=asked.pk, now=timezone.now()))
    return redirect("channels")


@never_cache
def verify(request: HttpRequest, token: str) -> HttpResponse:
    """Behind the mailed link, without a sign-in. GET only asks, so that a mail scanner proves nothing."""
    try:
        link = channel_verify_read(token)
        channel = _proved(link)
        if request.method == "POST":
            channel = channel_verify(channel_id=link.channel_id, address=link.address, now=timezone.now())
    except LinkFault as fault:
        return render(request, "alerting/channel_link_over.html", {"fault": fault}, status=410)
    except Channel.DoesNotExist:
        fault_said = "The channel is gone, or has another address by now."
        return render(request, "alerting/channel_link_over.html", {"fault": fault_said}, status=410)
    shown = {"channel": channel, "done": request.method == "POST"}
    return render(request, "alerting/channel_verify.html", shown)


def _proved(link: ChannelLink) -> Channel:
    return Channel.objects.select_related("user").get(
        pk=link.channel_id, address=link.address, user__deleted_at__isnull=True
    )


def _may_send(channel: Channel) -> bool:
    """Once a minute, so that a button cannot flood a mailbox."""
    return bool(cache.add(f"channel-mail:{channel.pk}", True, WAIT_SECONDS))


def _show_secret_once(request: MemberRequest, channel: Channel) -> None:
    if channel.secret:
        request.session[SHOWN_ONCE] = {"channel": channel.pk, "secret": channel.secret}


def _send_link(request: MemberRequest, channel: Channel) -> None:
    try:
        channel_proof_send(channel=channel, now=timezone.now())
    except TransportError as fault:
        messages.error(
            request, f"The link did not reach {channel.name}: {shortened(str(fault))} Please try again later."
        )
    else:
        messages.success(request, f"A link is on its way to {channel.address}. Open it to confirm the channel.")


def shortened(text: str) -> str:
    """Enough of a server's answer to see what is wrong."""
    return text if len(text) <= 200 else f"{text[:199]}…"


@transaction.atomic
def _queue_test(request: MemberRequest, channel: Channel) -> Message:
    now = timezone.now()
    message = message_new(
        organisation_id=request.organisation.pk, channel=channel, kind=MessageKind.TEST, due_at=now, now=now
    )
    message.save()
    senders_wake(Cadence.REALTIME)
    return message
