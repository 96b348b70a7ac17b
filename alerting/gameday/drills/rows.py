"""Drills on what the database holds: look-ups that fail, rows that are gone, templates that raise, rows too old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.utils import timezone
from psycopg import sql

from accounts.models import User
from alerting.cycle.context import DIGEST
from alerting.gameday.drill import drill
from alerting.gameday.readers import Reader
from alerting.gameday.stage import Stage
from alerting.models import AlertRule, Message, MessageKind, Notification, SendCycleRun, State
from alerting.operations import notification_retry
from alerting.rendering import html
from vessels.models import Vessel


@drill("profile-query-fails", broke="the look-ups of users, then of vessels, fail")
def profile_query(stage: Stage) -> None:
    """A look-up that fails ends the cycle loudly: nothing leaves, no attempt is burnt, Slack hears of it, and all is
    sent once it works again."""
    stage.alerts(3, stage.readers(5))
    stage.strike()

    with _column_gone("accounts_user", "time_zone"):
        stage.cycle()
        stage.nothing_burnt()
        stage.slack_hears("query_failed_user_profiles")
    with _column_gone("vessels_vessel", "call_sign"):
        stage.cycle()
        stage.nothing_burnt()
        stage.slack_hears("query_failed_vessel_profiles")
    runs = SendCycleRun.objects.exclude(error="").count()
    stage.promise("both cycles are on record with their error", runs == 2, runs)
    stage.promise("nothing leaves meanwhile", not stage.smtp.mails, len(stage.smtp.mails))

    stage.settle()


@contextmanager
def _column_gone(table: str, column: str) -> Iterator[None]:
    """As after a migration that went wrong."""
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    gone = sql.Identifier(f"{column}_gone")
    with connection.cursor() as cursor:
        cursor.execute(rename.format(sql.Identifier(table), sql.Identifier(column), gone))
        yield
        cursor.execute(rename.format(sql.Identifier(table), gone, sql.Identifier(column)))


@drill("deleted-user", broke="a user was deleted and kept subscriptions; another's row is gone altogether")
def deleted_user(stage: Stage) -> None:
    """Alerts of a deleted user are cancelled with the reason, in the open; everybody else gets theirs in the same
    cycle."""
    readers = stage.readers(6)
    before, deleted, gone = readers[0], readers[1], readers[2]
    stage.victims = {deleted.user.pk, gone.user.pk}
    stage.alerts(1, readers)

    stage.strike()
    User.objects.filter(pk=deleted.user.pk).update(deleted_at=timezone.now())
    stage.alerts(1, readers)  # its subscriptions live on
    _row_gone("accounts_user", gone.user.pk)
    stage.cycle()

    stage.all_end_as(State.CANCELLED, [deleted, gone], reason="The user was deleted")
    stage.all_end_as(State.SENT, [before, *readers[3:]])
    runs = SendCycleRun.objects.count()
    stage.promise("all of it in one cycle", runs == 1, f"{runs} cycles")
    reached = {address for mail in stage.smtp.mails for address in mail.to}
    stage.promise("no mail goes to them", not reached & {deleted.address, gone.address}, reached)
    stage.slack_hears("deleted_user_with_subscriptions")


@drill("nil-vessel", broke="a vessel's row is gone while its alerts wait")
def nil_vessel(stage: Stage) -> None:
    """The alert leaves all the same and names the vessel by its MMSI; Slack hears that a vessel cannot be found."""
    mmsi, *_ = stage.alerts(3, stage.readers(3))

    stage.strike()
    _row_gone("vessels_vessel", Vessel.objects.get(mmsi=mmsi).pk)
    stage.settle()

    named = [mail for mail in stage.smtp.mails if str(mmsi) in mail.subject or str(mmsi) in mail.text]
    stage.promise("its alerts name it by MMSI", len(named) >= 3, len(named))
    stage.slack_hears("vessel_not_found")


def _row_gone(table: str, key: int) -> None:
    """What should be impossible: the foreign keys that forbid it are dropped first. This database is thrown away."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint"
            " WHERE contype = 'f' AND confrelid = %s::regclass",
            [table],
        )
        for owner, name in cursor.fetchall():
            drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
            cursor.execute(drop.format(sql.Identifier(owner), sql.Identifier(name)))
        cursor.execute(sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(table)), [key])


@drill("template-error-in-one-rule", broke="the template of one rule raises")
def template_in_one_rule(stage: Stage) -> None:
    """The rule's alerts leave in the built-in words, everybody else's as they are; Slack hears which rule it is."""
    readers = stage.readers(5)
    broken, others = readers[0], readers[1:]
    written = {one.rule.pk for one in others[:2]}  # the rest have the built-in words
    AlertRule.objects.filter(pk__in=written).update(template="{{ vessel }} in the words of {{ rule }}")
    stage.alerts(2, readers)

    stage.strike()
    AlertRule.objects.filter(pk=broken.rule.pk).update(template="{{ nothing_of_this_name }}")
    stage.settle()

    stage.all_end_as(State.SENT, readers)
    built_in = [_said(stage, one) for one in others[2:]]
    stage.promise("its alerts say what happened in the built-in words", _said(stage, broken) in built_in, built_in)
    own = [mail.text for one in others[:2] for mail in stage.smtp.to(one.address)]
    theirs = sum(f"in the words of {one.rule.name}" in text for one in others[:2] for text in own)
    stage.promise("others' templates are used as they are", theirs == len(own) == 4, own)
    stage.slack_hears("template_fault")
    named = {one.rule.name for one in readers if any(f"“{one.rule.name}”" in text for text in stage.slack.texts)}
    stage.promise("Slack hears of this rule and no other", named == {broken.rule.name}, named)


def _said(stage: Stage, reader: Reader) -> set[str]:
    """The sentences about the vessels in this reader's mails, without what differs from reader to reader."""
    return {line for mail in stage.smtp.to(reader.address) for line in mail.text.splitlines() if "ENDEAVOUR" in line}


@drill("template-error-in-all", broke="all rules' templates raise, then the product's own layout does")
def template_in_all(stage: Stage) -> None:
    """With all rules' templates broken all alerts leave in the built-in words. With the product's own layout broken
    none can leave: each is put off with the reason, Slack hears of it, and all leave when it is mended."""
    readers = stage.readers(5)
    stage.alerts(1, readers)

    stage.strike()
    shipped, html.TEMPLATES = html.TEMPLATES, stage.folder
    (stage.folder / "message.mjml").write_text("<mjml><mj-body><mj-text>{{ letter.subject </mj-body>", encoding="utf-8")
    stage.cycle()
    rows = set(Message.objects.values_list("state", "attempts_made", "error_kind"))
    stage.promise("with a broken layout all are put off as a fault of ours", rows == {("pending", 1, "ours")}, rows)
    reasons = Message.objects.filter(reason="").count()
    stage.promise("each says why", reasons == 0, f"{reasons} without a reason")
    stage.slack_hears("panic_in_send_cycle")

    html.TEMPLATES = shipped
    AlertRule.objects.update(template="{{ nothing_of_this_name }}")
    stage.alerts(1, readers)
    stage.settle()
    stage.all_end_as(State.SENT, readers)
    stage.slack_hears("template_fault")


@drill("older-than-48-hours", broke="alerts wait for more than 48 hours")
def older_than_48_hours(stage: Stage) -> None:
    """They end as stale, are kept and can be retried; Slack hears of it. Once something leaves again their reader
    gets one summary of what was not sent."""
    late, other = stage.readers(2)
    stage.victims = {late.user.pk}
    stage.alerts(3, [late, other])
    stage.smtp.rcpt_answers[late.address] = "451 4.3.0 come back later"
    stage.settle()

    stage.strike()
    stage.later(hours=49)
    stage.housekeeping()
    stage.all_end_as(State.STALE, [late], reason="could not be sent in time")
    stage.slack_hears("messages_stale")

    stage.smtp.rcpt_answers.clear()
    stage.alerts(1, [late, other])  # something leaves again
    stage.settle()
    stage.housekeeping()
    stage.cycle(DIGEST)
    summaries = Message.objects.filter(kind=MessageKind.SUMMARY, state=State.SENT, user=late.user)
    told = Notification.objects.filter(state=State.STALE, summary__in=summaries).count()
    stage.promise(
        "one summary tells its reader of all three", (summaries.count(), told) == (1, 3), (len(summaries), told)
    )

    stale = Notification.objects.filter(state=State.STALE).earliest("pk")
    notification_retry(notification=stale, by=other.user, at=stage.now())
    stage.cycle()
    stale.refresh_from_db()
    stage.promise("a retry sends it", stale.state == State.SENT, stale.state)
