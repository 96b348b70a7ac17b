"""Inviting a user: a signed link by mail, and what happens when it is accepted."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.models import User

HOLDS_FOR = timedelta(days=14)
_SALT = "accounts.invitation"


class InvitationFault(Exception):
    """The link is wrong, too old, withdrawn, or was used already."""


def invitation_send(*, user: User, by: User | None, at: datetime) -> None:
    """Mail `user` a link to accept the invitation. A later one replaces it.

    Raises `InvitationFault` for a deleted user or one who has a password; `OSError` where no mail server answers
    (`smtplib.SMTPException` is one).
    """
    if user.deleted_at is not None or user.has_usable_password():
        raise InvitationFault("Only a user without a password can be invited.")
    user.invited_at = at
    user.save(update_fields=["invited_at"])
    said = {"user": user, "by": by, "url": invitation_url(user), "days": HOLDS_FOR.days}
    text = render_to_string("accounts/mails/invitation.txt", said)
    send_mail("You are invited to Watchkeeper", text, None, [user.email])


def invitation_url(user: User) -> str:
    """The link of the user's newest invitation."""
    invited = user.invited_at.isoformat() if user.invited_at else ""
    token = signing.dumps({"user": user.pk, "invited": invited}, salt=_SALT)
    return str(settings.PUBLIC_URL) + reverse("invitation", args=[token])


def invited_user(token: str) -> User:
    """Whom the link invites. Raises `InvitationFault`."""
    try:
        said = signing.loads(token, salt=_SALT, max_age=HOLDS_FOR)
    except signing.BadSignature as fault:
        raise InvitationFault("This link is not valid, or it has grown too old.") from fault
    user: User | None = User.objects.present().filter(pk=said["user"]).first()
    if user is None or user.has_usable_password():
        raise InvitationFault("This invitation was accepted already, or withdrawn.")
    if user.invited_at is None or user.invited_at.isoformat() != said["invited"]:
        raise InvitationFault("A newer invitation was sent: please use the link in that mail.")
    return user


@transaction.atomic
def invitation_accept(*, token: str, name: str, time_zone: str, password: str) -> User:
    """Give the invited user a password, name and zone. Raises `InvitationFault` where another click was first."""
    invited = invited_user(token)
    user: User = User.objects.select_for_update().get(pk=invited.pk)
    if user.has_usable_password() or user.deleted_at is not None:
        raise InvitationFault("This invitation was accepted already, or withdrawn.")
    user.name, user.time_zone = name, time_zone
    user.set_password(password)
    user.save(update_fields=["name", "time_zone", "password"])
    return user
