"""Texts and numbers that vessels say of themselves, made clean. They are hostile input and stay mere data."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_SPACES = re.compile(r" {2,}")


def clean_text(text: str | None, longest: int) -> str | None:
    """What stands before the first `@` (AIS's padding), without control characters; None when nothing is left."""
    if not text:
        return None
    cleaned = _SPACES.sub(" ", _CONTROL.sub(" ", text.partition("@")[0])).strip()[:longest].rstrip()
    return cleaned or None


def valid_imo(number: int | None) -> int | None:
    """The number if it is an IMO ship number: seven digits, the last a check digit (IMO resolution A.1117(30))."""
    if number is None or not 1_000_000 <= number <= 9_999_999:
        return None
    digits = [int(d) for d in str(number)]
    checksum = sum(d * weight for d, weight in zip(digits, (7, 6, 5, 4, 3, 2), strict=False))
    return number if checksum % 10 == digits[6] else None


def positive(number: float | None) -> float | None:
    """AIS says 0 for a length, width or draught that is not available."""
    return number if number is not None and number > 0 else None


def ship_type_number(number: int | None) -> int | None:
    """Types of ship are 1 to 99; 0 is *not available*."""
    return number if number is not None and 1 <= number <= 99 else None
