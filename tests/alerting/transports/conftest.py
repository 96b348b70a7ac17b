"""What tests of transports share."""

from __future__ import annotations

import pytest


class Clock:
    """Monotonic seconds that stand still until a test moves them."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
