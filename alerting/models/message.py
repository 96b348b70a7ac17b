"""Messages: what leaves. The one queue of the send cycles, its digests and its attempts."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Channel, Organisation, User
from alerting.models.subscription import Cadence


class MessageKind(models.TextChoices):
    """What a message discharges."""

    REALTIME = "realtime", "one alert"
    DIGEST = "digest"
    SUMMARY = "summary", "summary of what went stale"
    TEST = "test"
    NOTICE = "notice", "notice about the account"


# These tell of no notification.
BARE_KINDS = (MessageKind.TEST, MessageKind.NOTICE)

# Which cadence's send cycle takes which kinds.
REALTIME_KINDS = (MessageKind.REALTIME, MessageKind.TEST, MessageKind.NOTICE)
DIGEST_KINDS = (MessageKind.DIGEST, MessageKind.SUMMARY)


def lane_name(*, cadence: str, channel_kind: str) -> str:
    """Whose queue a message stands in, and by which way out it leaves."""
    return f"{cadence}:{channel_kind}"


def lane_of(kind: str, channel_kind: str) -> str:
    """The lane of a message of this kind to a channel of that kind."""
    return lane_name(cadence="digest" if kind in DIGEST_KINDS else "realtime", channel_kind=channel_kind)


class State(models.TextChoices):
    """The states of a message and of a notification. Pending: it waits, or is in a worker's hands."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STALE = "stale"
    QUARANTINED = "quarantined"


FINAL_STATES = (State.SENT, State.FAILED, State.CANCELLED, State.STALE, State.QUARANTINED)
RETRYABLE_STATES = (State.FAILED, State.STALE, State.QUARANTINED, State.CANCELLED)


class ErrorKind(models.TextChoices):
    """What an error asks for: wait, give this recipient up, mend the settings, or mend our code."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    CONFIGURATION = "configuration"
    OURS = "ours"


# They may be large: whoever looks at many messages leaves them where they are.
WORDS = ("subject", "text", "html")


class Message(models.Model):
    """One thing to send to one channel, at least once, with an end that is known."""

    # Nothing lists messages by organisation or user, and every index costs each outcome.
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="messages", db_index=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="messages", db_index=False)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="messages")
    kind = models.CharField(max_length=16, choices=MessageKind.choices)
    # of its kind and its channel's, neither of which changes; on the row so that one index serves a claim
    lane = models.CharField(max_length=40, editable=False, default="")
    message_id = models.CharField(max_length=200, help_text="Message-ID; the same for every attempt.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    reason = models.TextField(blank=True)
    error_kind = models.CharField(max_length=16, choices=ErrorKind.choices, blank=True)
    due_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    attempts_made = models.PositiveIntegerField(default=0)
    deaths = models.PositiveIntegerField(default=0, help_text="Claims that ended with the death of their worker.")
    # fixed at the first attempt, so that every repeat says the same
    subject = models.TextField(blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # not `unique=True`, which makes a second index for LIKE
            models.UniqueConstraint(fields=["message_id"], name="one_message_per_message_id"),
            models.CheckConstraint(condition=~Q(lane=""), name="message_has_a_lane"),
            models.CheckConstraint(condition=Q(state__in=State.values), name="message_state_is_known"),
            models.CheckConstraint(condition=Q(kind__in=MessageKind.values), name="message_kind_is_known"),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False) | (~Q(state="sent") & Q(sent_at__isnull=True)),
                name="sent_message_says_when",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["failed", "cancelled", "stale", "quarantined"]) | ~Q(reason=""),
                name="message_ended_unsent_says_why",
            ),
        ]
        indexes = [
            # claim: what is due, organisation by organisation; apart from it what killed its worker, taken one by one
            models.Index(
                fields=["lane", "organisation", "next_attempt_at"],
                condition=Q(state="pending", deaths=0),
                name="message_pending",
            ),
            models.Index(
                fields=["lane", "organisation", "next_attempt_at"],
                condition=Q(state="pending", deaths__gt=0),
                name="message_suspect",
            ),
            # admin: failed and stale lists, newest first
            models.Index(
                fields=["state", "-id"],
                condition=~Q(state__in=["pending", "sent"]),
                name="message_by_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk} to {self.channel}"


class Digest(models.Model):
    """The window of a digest message: one row per window whatever happens."""

    message = models.OneToOneField(Message, on_delete=models.PROTECT, related_name="digest")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="digests")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="digests")
    cadence = models.CharField(max_length=16, choices=Cadence.choices)
    due_at = models.DateTimeField()

    class Meta:
        ordering = ["-due_at"]
        constraints = [
            models.UniqueConstraint(fields=["user", "channel", "cadence", "due_at"], name="one_digest_per_window"),
            models.CheckConstraint(condition=Q(cadence__in=["daily", "weekly"]), name="digest_cadence_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_cadence_display()} of {self.user} due {self.due_at:%Y-%m-%d %H:%M}Z"


class Attempt(models.Model):
    """One try to send a message, with its outcome and the server's own answer. Never changed, never deleted."""

    class Outcome(models.TextChoices):
        SENT = "sent"
        FAILED = "failed"
        UNKNOWN = "unknown", "unknown: the connection was lost after the message was handed over"

    # found by the constraint's index
    message = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="attempts", db_index=False)
    claim_token = models.UUIDField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    error_kind = models.CharField(max_length=16, choices=ErrorKind.choices, blank=True)
    error = models.TextField(blank=True)
    answer = models.TextField(blank=True, help_text="What the server said.")
    traceback = models.TextField(blank=True)
    worker = models.CharField(max_length=200, blank=True, help_text="Host, process and run.")

    class Meta:
        ordering = ["message", "started_at"]
        constraints = [
            # a claim ends with its attempt: whoever records one for a dead worker may meet that worker's own last words
            models.UniqueConstraint(fields=["message", "claim_token"], name="one_attempt_for_each_claim"),
            models.CheckConstraint(
                condition=Q(outcome="sent", error_kind="") | (~Q(outcome="sent") & ~Q(error_kind="")),
                name="failed_attempt_has_an_error_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} at {self.started_at:%Y-%m-%d %H:%M:%S}Z"


class Death(models.Model):
    """A claim on a message that ended with the death of its worker. `alone`: the worker held nothing else."""

    message = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="death_records")
    worker = models.CharField(max_length=200, blank=True, help_text="Host, process and run.")
    alone = models.BooleanField()
    cause = models.CharField(max_length=200)
    noticed_at = models.DateTimeField()

    class Meta:
        ordering = ["message", "noticed_at"]

    def __str__(self) -> str:
        return f"{self.worker} at {self.noticed_at:%Y-%m-%d %H:%M:%S}Z: {self.cause}"
