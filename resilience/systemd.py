"""What a service of `Type=notify` tells systemd: that it is ready, that it lives, that it stops; see sd_notify(3)."""

from __future__ import annotations

import os
import socket

import structlog

log = structlog.get_logger(__name__)


def systemd_tell(state: str) -> bool:
    """Such as `WATCHDOG=1`. False where no systemd listens. Never raises, never waits."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # abstract
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
            wire.setblocking(False)
            wire.sendto(state.encode(), address)
    except OSError as fault:
        log.debug("systemd_not_told", error=str(fault))
        return False
    return True
