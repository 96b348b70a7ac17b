"""Organisations, the people in them, and the channels that reach those people."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.local_time import DateFormat, validate_zone
from accounts.roles import Role, role_allows, role_reaches_app


class Organisation(models.Model):
    """The tenant: everything a user can see belongs to one, or is shared on purpose."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_zone])
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class UserQuerySet(models.QuerySet["User"]):
    """Filters that compose."""

    def present(self) -> UserQuerySet:
        """Users who are not deleted."""
        return self.filter(deleted_at__isnull=True)

    def of(self, organisation: Organisation) -> UserQuerySet:
        return self.filter(organisation=organisation)


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    """Finds a user by an e-mail address in any case; deleted users cannot sign in."""

    def get_by_natural_key(self, email: str | None) -> User:
        user: User = self.present().get(email=(email or "").strip().lower())
        return user

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = User(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_superuser=True, **fields)


class User(AbstractBaseUser):
    """A person who signs in by e-mail. Deleting one keeps the row, so that history stays whole."""

    organisation = models.ForeignKey(
        Organisation, null=True, blank=True, on_delete=models.PROTECT, related_name="users"
    )
    email = models.EmailField()
    name = models.CharField(max_length=200, blank=True)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_zone])
    date_format = models.CharField(max_length=16, choices=DateFormat.choices, default=DateFormat.DAY_MONTH_YEAR)
    is_superuser = models.BooleanField("operates this installation", default=False)
    invited_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[Any] = UserManager()

    class Meta:
        ordering = ["email"]
        constraints = [
            # an address can be used again once its former user is deleted
            models.UniqueConstraint(
                Lower("email"),
                condition=Q(deleted_at__isnull=True),
                name="one_present_user_per_email",
                violation_error_message="Another user has this e-mail address.",
            ),
            models.CheckConstraint(
                condition=Q(is_superuser=True) | Q(organisation__isnull=False),
                name="user_has_organisation_or_operates",
                violation_error_message="Choose an organisation.",
            ),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="user_role_is_known"),
            models.CheckConstraint(condition=Q(date_format__in=DateFormat.values), name="user_date_format_is_known"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def clean(self) -> None:
        super().clean()
        self.email = self.email.strip().lower()

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """Read by Django: a deleted user neither signs in nor is sent anything."""
        return self.deleted_at is None

    @property
    def is_staff(self) -> bool:
        """Read by Django's admin."""
        return self.is_superuser or self.role in (Role.MANAGER, Role.ADMINISTRATOR)

    def has_perm(self, permission: str, obj: object = None) -> bool:
        return self.is_active and (self.is_superuser or role_allows(self.role, permission))

    def has_perms(self, permissions: list[str], obj: object = None) -> bool:
        return all(self.has_perm(permission, obj) for permission in permissions)

    def has_module_perms(self, app: str) -> bool:
        return self.is_active and (self.is_superuser or role_reaches_app(self.role, app))


class ChannelKind(models.TextChoices):
    """The transports that can carry a message."""

    EMAIL = "email", "E-mail"
    SLACK = "slack", "Slack"
    WEBHOOK = "webhook", "Webhook"


class Channel(models.Model):
    """One way to reach a user. It is used once verified and until disabled."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="channels")
    kind = models.CharField(max_length=16, choices=ChannelKind.choices, default=ChannelKind.EMAIL)
    name = models.CharField(max_length=100)
    address = models.CharField(max_length=2000, help_text="The e-mail address, or the URL to post to.")
    secret = models.CharField(max_length=200, blank=True, editable=False, help_text="Signs what a webhook gets.")
    old_secret = models.CharField(max_length=200, blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    verified_at = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["user", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "name"],
                name="one_channel_per_user_and_name",
                violation_error_message="This user has a channel of this name already.",
            ),
            models.CheckConstraint(condition=Q(kind__in=ChannelKind.values), name="channel_kind_is_known"),
            models.CheckConstraint(
                condition=Q(disabled_at__isnull=True) | ~Q(disabled_reason=""),
                name="disabled_channel_says_why",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_kind_display()}: {self.address})"

    @property
    def is_usable(self) -> bool:
        """Whether a message may leave through this channel now."""
        return self.verified_at is not None and self.disabled_at is None

    def secrets_at(self, now: datetime) -> tuple[str, ...]:
        return secrets_at(now, self.secret, self.old_secret, self.old_secret_until)


def secrets_at(now: datetime, secret: str, old_secret: str, old_secret_until: datetime | None) -> tuple[str, ...]:
    """What signs a channel's message now: after a change also the secret before it, for a while."""
    old_holds = old_secret_until is not None and now < old_secret_until
    return tuple(one for one in (secret, old_secret if old_holds else "") if one)
