"""Times in a page: in the reader's zone and format, with the offset on hover."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.local_time import duration_in_words, format_time, format_time_with_offset
from accounts.models import User

register = template.Library()


@register.simple_tag
def local_time(at: datetime | None, user: User, *, missing: str = "–") -> SafeString | str:
    """`<time>` such as 01/01/2025 00:00 NZDT; `missing` where there is no time."""
    if at is None:
        return missing
    told = format_time(at, user.time_zone, user.date_format)
    return _element(at, format_time_with_offset(at, user.time_zone, user.date_format, seconds=True), told)


@register.simple_tag
def exact_time(at: datetime | None, user: User, *, missing: str = "–") -> SafeString | str:
    """`<time>` to the second with the offset, for details."""
    if at is None:
        return missing
    told = format_time_with_offset(at, user.time_zone, user.date_format, seconds=True)
    return _element(at, f"{timezone.localtime(at, timezone.get_default_timezone()):%Y-%m-%d %H:%M:%S} UTC", told)


@register.simple_tag
def ago(at: datetime, user: User) -> SafeString:
    """`<time>` such as "5 minutes ago", with the date on hover."""
    exact = format_time_with_offset(at, user.time_zone, user.date_format, seconds=True)
    return _element(at, exact, f"{duration_in_words(max(timezone.now() - at, timedelta(0)))} ago")


def _element(at: datetime, title: str, told: str) -> SafeString:
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), title, told)
