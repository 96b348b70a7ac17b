"""Reports about mails that were accepted and came back, or were put off."""

from __future__ import annotations

from django.db import models

from alerting.models.message import Message


class BounceReport(models.Model):
    """What a server said later of a message that it had accepted. Never changed, never deleted."""

    message = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="bounce_reports")
    source = models.CharField(max_length=40, help_text="How it came: a mail, or a provider's webhook.")
    action = models.CharField(max_length=16, help_text="failed, delayed, delivered, relayed or expanded (RFC 3464).")
    status = models.CharField(max_length=16, blank=True, help_text="Enhanced status code (RFC 3463).")
    said = models.TextField(blank=True, help_text="What the server said.")
    recipient = models.CharField(max_length=320, blank=True)
    by = models.CharField(max_length=255, blank=True, help_text="The server that says so.")
    fingerprint = models.CharField(max_length=64, help_text="The same for a report that comes twice.")
    received_at = models.DateTimeField()

    class Meta:
        ordering = ["message", "received_at"]
        constraints = [models.UniqueConstraint(fields=["message", "fingerprint"], name="one_row_per_bounce_report")]

    def __str__(self) -> str:
        return f"{self.action} {self.status} at {self.received_at:%Y-%m-%d %H:%M:%S}Z"
