"""Channels: which ways reach a user, proving a new one, and trying one out."""

from __future__ import annotations

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

from accounts.channels import channel_add, channel_link_send, channel_verify
from accounts.models import Channel
from accounts.pages.member import MemberRequest, member
from alerting.cycle.queue import message_new, senders_wake
from alerting.links import ChannelLink, LinkFault, channel_verify_read, channel_verify_url
from alerting.models import Cadence, Message, MessageKind

WAIT_SECONDS = 60  # between two mails to one channel that its user asks for


class ChannelForm(forms.Form):
    """A new e-mail channel."""

    name = forms.CharField(
        max_length=100, label="Name", help_text="What you call it: work, duty phone, operations desk."
    )
    address = forms.EmailField(
        max_length=254, label="E-mail address", widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )


@member
def page(request: MemberRequest) -> HttpResponse:
    """The list, and the form for one more."""
    form = ChannelForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            channel = channel_add(user=request.user, **form.cleaned_data, now=timezone.now())
        except ValidationError as fault:
            form.add_error(None, ValidationError(fault.messages))
        else:
            _send_link(request, channel)
            return redirect("channels")
    own = request.user.channels.order_by("pk")
    return render(request, "alerting/channels.html", {"channels": own, "form": form})


@member
@require_POST
def send_link(request: MemberRequest, channel: int) -> HttpResponse:
    """The verification link once more, or to take up a disabled channel again."""
    asked = get_object_or_404(request.user.channels, pk=channel)
    if _may_send(asked):
        _send_link(request, asked)
    else:
        messages.warning(request, f"A mail to {asked.address} left a moment ago: please wait a minute.")
    return redirect("channels")


@member
@require_POST
def send_test(request: MemberRequest, channel: int) -> HttpResponse:
    """A test message through the same queue and sender as every alert."""
    asked = get_object_or_404(request.user.channels, pk=channel)
    if not asked.is_usable:
        messages.error(request, f"{asked.name} does not work yet: verify it first.")
    elif not _may_send(asked):
        messages.warning(request, f"A mail to {asked.address} left a moment ago: please wait a minute.")
    else:
        _queue_test(request, asked)
        messages.success(request, f"A test message to {asked.address} is on its way. It should be there in a minute.")
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


def _send_link(request: HttpRequest, channel: Channel) -> None:
    try:
        channel_link_send(channel=channel, url=channel_verify_url(channel))
    except OSError:  # smtplib's errors are among these
        messages.error(
            request, f"The mail server did not take the mail to {channel.address}. Please try again in a while."
        )
    else:
        messages.success(request, f"A link is on its way to {channel.address}. Open it to confirm the address.")


@transaction.atomic
def _queue_test(request: MemberRequest, channel: Channel) -> Message:
    now = timezone.now()
    message = message_new(
        organisation_id=request.organisation.pk, channel=channel, kind=MessageKind.TEST, due_at=now, now=now
    )
    message.save()
    senders_wake(Cadence.REALTIME)
    return message
