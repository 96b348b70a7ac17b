"""The ledger's three small tables: who runs, what is in hand, who died of what."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q


class Cause(models.TextChoices):
    """Why a process ended that should not have."""

    KILLED = "killed", "killed by SIGKILL"
    OUT_OF_MEMORY = "out_of_memory", "killed by the kernel because its memory was used up"
    SEGMENTATION_FAULT = "segmentation_fault", "ended by a segmentation fault"
    SIGNAL = "signal", "ended by a signal"
    TIMEOUT = "timeout", "stopped because its time was up"
    EXIT = "exit", "ended by itself in the middle of its work"
    STALL = "stall", "stopped because nothing moved any more"
    FORCED = "forced", "killed because it did not stop in time"
    UNCLEAN = "unclean_shutdown", "gone without a word (killed, out of memory, or its machine went down)"


class DeploymentRun(models.Model):
    """A deployment that runs. It takes its row away when it stops: a row without its process is an unclean end."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    part = models.CharField(max_length=100, help_text="What runs, such as “worker realtime”.")
    instance = models.CharField(max_length=255, help_text="Which of those; by default the host's name.")
    host = models.CharField(max_length=255)
    boot_id = models.CharField(max_length=36, help_text="Of the kernel: another one after every start of the machine.")
    pid_namespace = models.BigIntegerField(help_text="Another one in every container.")
    pid = models.PositiveIntegerField()
    born = models.BigIntegerField(help_text="Start of the process in clock ticks since boot: pids are used again.")
    oom_kills = models.BigIntegerField(null=True, blank=True, help_text="Of its cgroup, when it was last seen.")
    # the default is the database's: a worker of the version before, which goes on for a while, does not name it
    oom_counter = models.CharField(
        max_length=500, blank=True, db_default="", help_text="Which counter that is, by its file and inode."
    )
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("part", "instance")

    def __str__(self) -> str:
        return f"{self.part} at {self.instance}"


class WorkInHand(models.Model):
    """Work that a process began. Deleted when it ends, so what stays is in hand, or was when its process died."""

    run = models.UUIDField(db_index=True, help_text="Of the deployment; its row may not be written yet.")
    pid = models.PositiveIntegerField()
    doing = models.CharField(max_length=100)
    began_at = models.DateTimeField()

    class Meta:
        ordering = ("began_at",)
        verbose_name_plural = "work in hand"

    def __str__(self) -> str:
        return f"{self.doing} by {self.pid}"


class WorkerDeath(models.Model):
    """A process that died, and what it had in hand. Never changed."""

    at = models.DateTimeField(db_index=True)
    part = models.CharField(max_length=100)
    instance = models.CharField(max_length=255)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    role = models.CharField(max_length=30, help_text="Worker, monitor, pusher, sentinel or the whole deployment.")
    cause = models.CharField(max_length=20, choices=Cause.choices)
    exit_code = models.IntegerField(null=True, blank=True, help_text="Negative: the signal.")
    doing = models.CharField(max_length=200, blank=True, help_text="Empty: it was idle.")
    details = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("-at",)
        constraints = (models.CheckConstraint(condition=Q(cause__in=Cause.values), name="worker_death_cause_known"),)
        indexes = (
            # book.deaths_count: every few seconds, by the deployment whose deaths they are
            models.Index(fields=("part", "instance", "cause"), name="worker_death_counted"),
        )

    def __str__(self) -> str:
        return f"{self.role} of {self.part} at {self.instance}: {self.cause}"
