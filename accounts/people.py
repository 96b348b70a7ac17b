"""Actions on users."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.models import User


@transaction.atomic
def user_delete(*, user: User, at: datetime) -> None:
    """Delete a user softly: sign-in ends, history stays.

    Subscriptions are left as they are: the send cycle cancels what is owed to a deleted user, in the open.
    """
    user.deleted_at = at
    user.set_unusable_password()
    user.save(update_fields=["deleted_at", "password"])
