"""Leases: which worker holds a message, and until when."""

from __future__ import annotations

from django.db import models

from alerting.models.message import Message


class Lease(models.Model):
    """One message in the hands of one worker. Nobody else sends it, or writes what became of it.

    A row of its own: a claim that changed the message would write all of it, words and indexes, once more for each
    sending. Whoever makes a lease, or changes a waiting message without one, locks the message first and looks for a
    lease then.
    """

    # PostgreSQL's own check would look each message up once more, and no message is ever deleted
    message = models.OneToOneField(
        Message, primary_key=True, on_delete=models.PROTECT, related_name="lease", db_constraint=False
    )
    token = models.UUIDField()
    until = models.DateTimeField()
    worker = models.CharField(max_length=200, help_text="Host, process and run.")

    def __str__(self) -> str:
        return f"{self.worker} until {self.until:%Y-%m-%d %H:%M:%S}Z"
