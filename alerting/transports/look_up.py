"""Looking a host up within a time: the system's resolver knows no deadline, and may take more than a minute."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

Resolve = Callable[[str, int], Sequence[str]]  # host and port to addresses; raises OSError


def dns_answers(host: str, port: int) -> list[str]:
    """What the system's resolver says, in its order. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def answers_within(resolve: Resolve, host: str, port: int, *, seconds: float) -> Sequence[str]:
    """`resolve`, for no longer than that: the system's resolver knows no deadline. Raises `OSError`.

    A look-up that takes longer is left to end by itself, on its own thread. An address needs none.
    """
    if _is_address(host):
        return [host]
    said: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            said.put(resolve(host, port))
        except Exception as fault:
            said.put(fault)

    threading.Thread(target=look_up, name="dns", daemon=True).start()
    try:
        answer = said.get(timeout=max(0.0, seconds))
    except queue.Empty:
        raise TimeoutError(f"no answer from DNS for {host}") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
