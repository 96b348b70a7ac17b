"""What a provider allows, spread over all threads of a process."""

from __future__ import annotations

import pytest

from alerting.transports.limits import Limits, Pacer, limits_for


def test_each_caller_gets_the_next_free_moment() -> None:
    pacer = Pacer(4, monotonic=lambda: 100.0)

    assert [pacer.seconds_to_wait() for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]


def test_time_that_was_not_used_is_not_saved_up() -> None:
    now = [100.0]
    pacer = Pacer(2, monotonic=lambda: now[0])
    pacer.seconds_to_wait()
    now[0] = 200.0

    assert [pacer.seconds_to_wait() for _ in range(2)] == [0.0, 0.5]


def test_without_a_limit_nobody_waits() -> None:
    pacer = Pacer(0, monotonic=lambda: 100.0)

    assert {pacer.seconds_to_wait() for _ in range(1000)} == {0.0}


def test_limits_come_from_the_settings(settings: pytest.MonkeyPatch) -> None:
    settings.MAIL_CONNECTIONS, settings.MAIL_PER_SECOND = 20, 5.0  # type: ignore[attr-defined]

    assert limits_for("email") == Limits(20, 5.0)
    assert limits_for("carrier pigeon") == Limits(1)
