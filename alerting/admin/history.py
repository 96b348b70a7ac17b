"""What became of a message, as the admin shows it: its attempts, and the workers that died with it in hand."""

from __future__ import annotations

from datetime import datetime

from django.contrib.admin.utils import display_for_value
from django.utils.html import format_html, format_html_join

from alerting.models import Message


def shown_time(at: datetime) -> str:
    """As the admin shows the times of columns: in the signed-in user's zone."""
    return str(display_for_value(at, "–"))


def folded(label: str, text: str) -> str:
    """Long text behind a summary that opens it."""
    if not text:
        return "–"
    return format_html("<details><summary>{}</summary><pre>{}</pre></details>", label, text)


def attempts_table(message: Message | None) -> str:
    """Every attempt of a message, oldest first, with what the server said."""
    attempts = [] if message is None else list(message.attempts.order_by("started_at"))
    if not attempts:
        return "none yet"
    return format_html(
        '<ol class="attempts">{}</ol>',
        format_html_join(
            "",
            "<li><strong>{}</strong> {} {}<br>{}{}{}</li>",
            (
                (
                    shown_time(attempt.started_at),
                    attempt.get_outcome_display(),
                    f"({attempt.get_error_kind_display()})" if attempt.error_kind else "",
                    attempt.error,
                    format_html("<pre>{}</pre>", attempt.answer) if attempt.answer else "",
                    folded("traceback", attempt.traceback) if attempt.traceback else "",
                )
                for attempt in attempts
            ),
        ),
    )


def bounces_table(message: Message | None) -> str:
    """What servers said later of a message that they had accepted, oldest first."""
    reports = [] if message is None else list(message.bounce_reports.order_by("received_at"))
    if not reports:
        return "none"
    return format_html(
        '<ol class="attempts">{}</ol>',
        format_html_join(
            "",
            "<li><strong>{}</strong> {} {} {}<pre>{}</pre></li>",
            (
                (
                    shown_time(report.received_at),
                    report.action,
                    report.status,
                    f"by {report.by}" if report.by else "",
                    report.said or "no reason was given",
                )
                for report in reports
            ),
        ),
    )


def deaths_table(message: Message | None) -> str:
    """The claims on a message that ended with the death of their worker, oldest first."""
    deaths = [] if message is None else list(message.death_records.order_by("noticed_at"))
    if not deaths:
        return "none"
    return format_html(
        '<ol class="attempts">{}</ol>',
        format_html_join(
            "",
            "<li><strong>{}</strong> {}: {}{}</li>",
            (
                (
                    shown_time(death.noticed_at),
                    death.worker or "a worker",
                    death.cause,
                    "; it held nothing else" if death.alone else "",
                )
                for death in deaths
            ),
        ),
    )
