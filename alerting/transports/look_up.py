"""Looking a name up within a time: the system's resolver knows no deadline, and may take more than a minute."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import NoReturn, TypeVar

Found = TypeVar("Found")
Resolve = Callable[[str, int], Sequence[str]]  # host and port to addresses; raises OSError


def dns_answers(host: str, port: int) -> list[str]:
    """What the system's resolver says, in its order. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def answers_within(resolve: Resolve, host: str, port: int, *, seconds: float) -> Sequence[str]:
    """`resolve`, for no longer than that. Raises `OSError`. An address needs no look-up."""
    if _is_address(host):
        return [host]
    return found_within(partial(resolve, host, port), name=host, seconds=seconds)


def found_within(look_up: Callable[[], Found], *, name: str, seconds: float) -> Found:
    """What it returns, or raises; `TimeoutError` after so many seconds. A look-up that takes longer is left to end by
    itself, on its own thread."""
    said: queue.SimpleQueue[Callable[[], Found]] = queue.SimpleQueue()

    def work() -> None:
        try:
            found = look_up()
        except Exception as fault:
            said.put(partial(_raise, fault))
        else:
            said.put(lambda: found)

    threading.Thread(target=work, name="dns", daemon=True).start()
    try:
        answer = said.get(timeout=max(0.0, seconds))
    except queue.Empty:
        raise TimeoutError(f"no answer from DNS for {name}") from None
    return answer()


def _raise(fault: Exception) -> NoReturn:
    raise fault


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
