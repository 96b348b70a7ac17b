"""One byte that all processes of a deployment share: stop. Without a lock, so that no killed process can hold it."""

from __future__ import annotations

from multiprocessing.sharedctypes import RawValue

# Made before the deployment forks, so that every child sees the same memory.
_flag = RawValue("b", 0)


def stop_begin() -> None:
    """Finish what is in hand, start nothing more."""
    _flag.value = 1


def stopping() -> bool:
    return bool(_flag.value)
