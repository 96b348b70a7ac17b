"""Organisations, users and their channels of a setup file."""

from __future__ import annotations

from accounts.channels import new_secret
from accounts.models import Channel, ChannelKind, Organisation, User
from alerting.setup.changes import Applying
from alerting.setup.schema import ChannelPart, UserPart


def apply_organisations(run: Applying) -> None:
    for part in run.document.setup.organisations:
        organisation = Organisation.objects.filter(slug=part.slug).first()
        wanted = {"name": part.name, "time_zone": part.time_zone}
        if organisation is None:
            Organisation.objects.create(slug=part.slug, created_at=run.now, **wanted)
            run.made(f"organisation {part.slug}")
        else:
            run.bring(organisation, f"organisation {part.slug}", wanted)


def organisation_named(run: Applying, slug: str, section: str, number: int) -> Organisation:
    """The organisation that an entry names. Raises `SetupError` at that entry."""
    organisation = Organisation.objects.filter(slug=slug).first()
    if organisation is None:
        known = ", ".join(Organisation.objects.order_by("slug").values_list("slug", flat=True)[:10]) or "none"
        raise run.fault((section, number, "organisation"), f"there is no organisation {slug!r}; known: {known}")
    return organisation


def apply_users(run: Applying) -> None:
    for number, part in enumerate(run.document.setup.users):
        user = _apply_user(run, part, organisation_named(run, part.organisation, "users", number), number)
        for channel in part.channels:
            _apply_channel(run, user, channel)


def _apply_user(run: Applying, part: UserPart, organisation: Organisation, number: int) -> User:
    what = f"user {part.email}"
    user: User | None = User.objects.present().filter(email=part.email).first()
    if user is not None and user.organisation_id != organisation.pk:
        raise run.fault(("users", number, "organisation"), f"{part.email} belongs to another organisation already")
    wanted = {"name": part.name, "role": part.role.value, "time_zone": part.time_zone or organisation.time_zone}
    if part.date_format is not None:
        wanted["date_format"] = part.date_format.value
    if user is None:
        user = User.objects.create_user(
            part.email, part.password, organisation=organisation, created_at=run.now, **wanted
        )
        run.made(what)
        return user
    if part.time_zone is None:  # a user may have chosen another than the organisation's
        del wanted["time_zone"]
    run.bring(user, what, wanted)
    # a password already set is the user's own: it is not put back to the file's
    if part.password is not None and not user.has_usable_password():
        user.set_password(part.password)
        user.save(update_fields=["password"])
        run.changed(what, "password")
    return user


def _apply_channel(run: Applying, user: User, part: ChannelPart) -> None:
    what = f"channel {part.name} of {user.email}"
    channel = Channel.objects.filter(user=user, name=part.name).first()
    if channel is None:
        Channel.objects.create(
            user=user,
            name=part.name,
            kind=part.kind,
            address=part.address,
            secret=new_secret() if part.kind == ChannelKind.WEBHOOK else "",
            verified_at=run.now if part.verified else None,
            created_at=run.now,
        )
        run.made(what)
        return
    wanted: dict[str, object] = {"kind": part.kind.value, "address": part.address}
    moved = (channel.kind, channel.address) != (part.kind.value, part.address)
    if moved:  # another address has to be verified anew, and deserves a fresh start
        wanted |= {"verified_at": None, "disabled_at": None, "disabled_reason": ""}
    if part.verified and (moved or channel.verified_at is None):
        wanted["verified_at"] = run.now
    run.bring(channel, what, wanted)
